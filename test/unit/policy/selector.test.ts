import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { asksForLabels, programFor } from '../../../src/policy/program.ts';
import { fitsSelector, type Selector, selectorText } from '../../../src/policy/selector.ts';
import { policy } from './arbitraries.ts';

const web: Selector = [{ key: 'app', operator: 'In', values: ['web'] }];

describe('a label selector', () => {
  const labels = { app: 'web', tier: '' };
  // As Kubernetes judges them (apimachinery, pkg/labels, Requirement.Matches).
  for (const [requirement, fits, text] of [
    [{ key: 'app', operator: 'In', values: ['db', 'web'] }, true, 'app in (db,web)'],
    [{ key: 'app', operator: 'In', values: ['db'] }, false, 'app=db'],
    [{ key: 'tier', operator: 'In', values: [''] }, true, 'tier='],
    [{ key: 'none', operator: 'In', values: [''] }, false, 'none='],
    [{ key: 'app', operator: 'NotIn', values: ['db'] }, true, 'app notin (db)'],
    [{ key: 'app', operator: 'NotIn', values: ['web'] }, false, 'app notin (web)'],
    [{ key: 'none', operator: 'NotIn', values: ['web'] }, true, 'none notin (web)'],
    [{ key: 'tier', operator: 'Exists', values: [] }, true, 'tier'],
    [{ key: 'none', operator: 'Exists', values: [] }, false, 'none'],
    [{ key: 'tier', operator: 'DoesNotExist', values: [] }, false, '!tier'],
    [{ key: 'toString', operator: 'DoesNotExist', values: [] }, true, '!toString'],
  ] as const)
    test(`${text} ${fits ? 'fits' : 'does not fit'}`, () => {
      assert.equal(fitsSelector([requirement], labels), fits);
      assert.equal(selectorText([requirement]), text);
    });

  test('fits when all its requirements hold, and without any', () => {
    assert.equal(fitsSelector([], {}), true);
    assert.equal(fitsSelector([...web, { key: 'tier', operator: 'DoesNotExist', values: [] }], labels), false);
  });
});

describe('a policy that chooses by labels', () => {
  const policies = [
    policy('web', { podSelector: web }),
    policy('team', { namespaceSelector: web, namespaces: ['t*'] }),
  ];
  const namesOf = (pod: object) => [...new Set(programFor(policies, pod).map(({ policy: name }) => name))];

  test('is for pods with such labels, and for those in namespaces with such labels', () => {
    const blue = { namespace: 'blue', name: 'a' };
    assert.deepEqual(namesOf({ ...blue, labels: { pod: { app: 'web' }, namespace: {} } }), ['web']);
    assert.deepEqual(namesOf({ ...blue, labels: { pod: { app: 'db' }, namespace: { app: 'web' } } }), []);
    assert.deepEqual(namesOf({ namespace: 'test', labels: { pod: {}, namespace: { app: 'web' } } }), ['team']);
  });

  test('asks for them where its names fit; nobody leaves by a guess', () => {
    const [, team] = policies as [never, (typeof policies)[number]];
    assert.equal(asksForLabels([team], { namespace: 'blue' }), false);
    assert.equal(asksForLabels([team], { namespace: 'test' }), true);
    assert.equal(asksForLabels([policy('all', { podSelector: [] })], {}), false);
    assert.throws(() => programFor(policies, { namespace: 'blue', name: 'a' }), {
      code: 'try-again',
      message: 'Policy "web" chooses pods by labels, and those of pod blue/a are not known',
    });
  });
});
