/** How a program ended that was run on the host. */
export interface Trial {
  /** It could not be started: the name of the error, as `ENOENT`, and the call that gave it. */
  readonly error?: { readonly code: string; readonly syscall: string };
  /** Its exit code; `null` when a signal ended it. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Facts about the program and the machine that need no run. */
export interface Facts {
  /** The machine that the program is built for, as `uname -m` calls them; `undefined` when it is no program of Linux. */
  readonly builtFor: string | undefined;
  /** `uname -m` */
  readonly machine: string;
  /** The version that the program must have. */
  readonly version: string;
}

/** Why the host cannot run the program, and what to do; `undefined` when it can. */
export function diagnosis(trial: Trial, { builtFor, machine, version }: Facts): string | undefined {
  const { error, stderr, exitCode } = trial;
  if (error?.syscall === 'chroot') return `the host’s root cannot be entered (${error.code}): grant CAP_SYS_CHROOT`;
  if (error?.syscall === 'access')
    return `it is not in the host’s root (${error.code}): HOST_ROOT must be that of the host whose CNI_BIN_DIR it is`;
  if (!error && exitCode === 0) return faultOfAnswer(trial.stdout, version);
  if (builtFor === undefined) return 'it is no program for Linux: name another one with EGRESS_BINARY';
  if (builtFor !== machine) return `it is built for ${builtFor}, the machine is ${machine}: use the image for it`;
  if (error) return reasons[error.code] ?? `it does not start: ${error.code}`;
  const library = /error while loading shared libraries: ([^\s:]+)/.exec(stderr)?.[1];
  if (library !== undefined) return `the host has no ${library}: install the package that has it`;
  const needed = /version [`'"]?((?:GLIBC|GLIBCXX|CXXABI|GCC)_[\w.]+)/.exec(stderr)?.[1];
  if (needed !== undefined) return `the host’s libraries are too old, they have no ${needed}: a newer system is needed`;
  return `it ended with ${exitCode ?? 'a signal'}: ${stderr.trim().split('\n')[0] || 'it said nothing'}`;
}

/** What execve(2) means by its errors, here. */
const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'the host has no loader for it: a system with glibc is needed (Alpine and Talos have none)',
  EACCES: 'the host does not let it run: its file system is mounted noexec, or SELinux or AppArmor forbid it',
  EPERM: 'the host does not let it run: a security module (SELinux, AppArmor, fapolicyd) forbids it',
  ENOEXEC: 'the host does not know its format',
  ETIMEDOUT: 'it did not answer in time',
};

function faultOfAnswer(stdout: string, version: string): string | undefined {
  const answer = parsed(stdout);
  if (answer.version !== version) return `it answers with version ${String(answer.version)}, expected ${version}`;
  return answer.netlink === true ? undefined : 'it cannot speak to the kernel by netlink';
}

function parsed(stdout: string): { readonly version?: unknown; readonly netlink?: unknown } {
  try {
    return JSON.parse(stdout) ?? {};
  } catch {
    return {};
  }
}

/** e_machine of elf(5). */
const machines: Readonly<Record<number, string>> = { 3: 'i686', 40: 'armv7l', 62: 'x86_64', 183: 'aarch64' };

/** The machine that a program is built for, by the first 20 bytes of its file, little-endian. */
export function machineOf(header: Buffer): string | undefined {
  if (header.length < 20 || header.toString('latin1', 0, 4) !== '\x7fELF') return undefined;
  const machine = header.readUInt16LE(18);
  return machines[machine] ?? `machine ${machine} of ELF`;
}
