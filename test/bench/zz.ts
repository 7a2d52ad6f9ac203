import { measureAdd } from '/work/main/test/bench/add.ts';
console.time('add'); console.log(await measureAdd()); console.timeEnd('add');
