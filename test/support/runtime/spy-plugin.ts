import { readFileSync, renameSync, writeFileSync } from 'node:fs';

// A CNI plugin that changes nothing and keeps what it was sent: one file for each call, in the folder that its chain entry
// names, with the environment and standard input as JSON.

const command = process.env.CNI_COMMAND;
const request = JSON.parse(readFileSync(0, 'utf8'));
if (request.folder !== undefined) {
  const name = `${process.hrtime.bigint().toString().padStart(20, '0')}-${command}.json`;
  // Nobody reads half a file.
  writeFileSync(`${request.folder}/.${name}`, JSON.stringify({ environment: process.env, request }));
  renameSync(`${request.folder}/.${name}`, `${request.folder}/${name}`);
}
if (command === 'ADD') console.log(JSON.stringify(request.prevResult));
if (command === 'VERSION') {
  console.log(JSON.stringify({ cniVersion: '1.0.0', supportedVersions: ['0.4.0', '1.0.0', '1.1.0'] }));
}
