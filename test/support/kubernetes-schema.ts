/**
 * The schemas of Kubernetes' own API, from the package kubernetes-models: its validators are generated from the OpenAPI
 * description that Kubernetes publishes.
 */
interface Validator {
  (object: unknown): boolean;
  readonly errors?:
    | readonly { readonly instancePath: string; readonly keyword: string; readonly params: object }[]
    | null;
}

interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
}

/**
 * What is wrong with an object: values that the schema of its kind does not allow, and keys that it does not know. A
 * schema of Kubernetes lets unknown keys pass, so they are found by what the validator never looks at.
 */
export async function schemaProblems(object: KubernetesObject): Promise<string[]> {
  const validate = await validatorOf(object);
  const watched = new Watched();
  const isValid = validate(watched.of(object));
  const wrong = isValid ? [] : (validate.errors ?? []);
  return [
    ...wrong.map(({ instancePath, keyword, params }) => `${instancePath}: ${keyword} ${JSON.stringify(params)}`),
    ...watched
      .unread(object)
      .filter((path) => !path.includes(ofDefinitions))
      .map((path) => `${path}: unknown key`),
  ];
}

async function validatorOf({ apiVersion, kind }: KubernetesObject): Promise<Validator> {
  const [version = '', group = 'core'] = apiVersion.split('/').reverse();
  const [first = ''] = group.split('.');
  const name = `${first === 'apiextensions' ? ofExtensions : `IoK8sApi${capitalized(first)}`}${capitalized(version)}${kind}`;
  const { validate } = (await import(`kubernetes-models/_schemas/${name}`)) as { validate: Validator };
  return validate;
}

/** What a definition says of its own kind: only an API server judges that, in test/cluster. */
const ofDefinitions = '/schema/openAPIV3Schema/';

/** Definitions of kinds are in a package of Kubernetes of their own. */
const ofExtensions = 'IoK8sApiextensionsApiserverPkgApisApiextensions';

const capitalized = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);

/** Lends objects to a reader, and knows of each which keys were read. */
class Watched {
  readonly #read = new Map<object, Set<PropertyKey>>();

  of(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value;
    const read = this.#read.get(value) ?? new Set();
    this.#read.set(value, read);
    return new Proxy(value, {
      get: (target, key) => {
        read.add(key);
        return this.of(Reflect.get(target, key));
      },
    });
  }

  unread(value: unknown, path = ''): string[] {
    if (typeof value !== 'object' || value === null) return [];
    const read = this.#read.get(value);
    return Object.entries(value).flatMap(([key, part]) =>
      // What is free in the schema is not entered by the validator: its keys are anybody's.
      read === undefined ? [] : read.has(key) ? this.unread(part, `${path}/${key}`) : [`${path}/${key}`],
    );
  }
}
