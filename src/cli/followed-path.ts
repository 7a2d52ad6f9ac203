/** A file that is watched, and another one as soon as that stands in its place: a chain entry may name another policy file. */
export class FollowedPath implements Disposable {
  readonly #watch: (path: string) => readonly Disposable[];
  #path: string | undefined;
  #watches: readonly Disposable[] = [];

  constructor(watch: (path: string) => readonly Disposable[]) {
    this.#watch = watch;
  }

  follow(path: string): void {
    if (path === this.#path) return;
    this[Symbol.dispose]();
    this.#path = path;
    this.#watches = this.#watch(path);
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }
}
