import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Rotation } from '../../../cache/semantic/hiding.ts';
import { dot, isUnit, quantised, restored } from '../../../cache/semantic/vectors.ts';
import { seeded } from '../../support/clock.ts';
import { randomUnit } from './prompts.ts';

const secret = fc.uint8Array({ minLength: 16, maxLength: 32 });
const dimensions = fc.constantFrom(1, 2, 3, 7, 24, 64, 100, 384, 768);

describe('a rotation', () => {
  test('keeps every similarity, and is the same for the same secret', () => {
    fc.assert(
      fc.property(secret, dimensions, fc.nat(), (secret, dimensions, seed) => {
        const random = seeded(seed);
        const [a, b] = [randomUnit(random, dimensions), randomUnit(random, dimensions)];
        const rotation = new Rotation(secret, dimensions);
        expect(dot(rotation.turned(a), rotation.turned(b))).toBeCloseTo(dot(a, b), 4);
        expect(isUnit(rotation.turned(a))).toBe(true);
        expect(new Rotation(secret, dimensions).turned(a)).toEqual(rotation.turned(a));
      }),
      { numRuns: 40 },
    );
  });

  test('leaves neither a number nor a size of one by which a guess could be known', () => {
    const vector = randomUnit(seeded(1), 384);
    const turned = new Rotation(Buffer.from('one'), 384).turned(vector);
    const sizes = new Set([...vector].map((value) => Math.abs(value).toFixed(6)));
    expect([...turned].filter((value) => sizes.has(Math.abs(value).toFixed(6))).length).toBeLessThan(8);
  });

  test('makes vectors of two tenants as far apart as any two', () => {
    const vector = randomUnit(seeded(1), 384);
    const [one, two] = ['one', 'two'].map((name) => new Rotation(Buffer.from(name), 384).turned(vector));
    expect(Math.abs(dot(one!, two!))).toBeLessThan(0.3);
    expect(Math.abs(dot(one!, vector))).toBeLessThan(0.3);
  });
});

describe('a vector in 8 bits a number', () => {
  test('has nearly the similarities that it had', () => {
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom(64, 384, 1024), (seed, dimensions) => {
        const random = seeded(seed);
        const [a, b] = [randomUnit(random, dimensions), randomUnit(random, dimensions)];
        expect(Math.abs(dot(a, restored(quantised(b))) - dot(a, b))).toBeLessThan(0.005);
      }),
      { numRuns: 50 },
    );
  });
});
