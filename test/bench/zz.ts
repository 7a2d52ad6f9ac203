import { measureThroughput } from './throughput.ts';

console.time('tp');
console.log(await measureThroughput());
console.timeEnd('tp');
