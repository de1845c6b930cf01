/** Decimal text, exactly: whole numbers of steps, products, comparisons. Nothing here goes through a float. */

interface Decimal {
  digits: bigint;
  /** The value is `digits` / 10 ** `places`. */
  places: number;
}

const TEXT = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,4}))?$/;
const TYPED = /^\d+(\.\d+)?$/;

/** Whether it is a number as people write one: no sign, no exponent, a digit on both sides of the point. */
export function isTyped(text: string): boolean {
  return TYPED.test(text);
}

/** How many times `step` it is; null where that is no whole number. Up to 2 ** 53 it is exact. */
export function stepsOf(text: string, step: string): number | null {
  const [value, unit] = aligned(text, step);
  return value % unit === 0n ? Number(value / unit) : null;
}

/** That many steps as text, with the digits that the step has: 10050 of `0.01` are `100.50`. */
export function ofSteps(steps: number, step: string): string {
  const { digits, places } = parse(step);
  return plain({ digits: BigInt(steps) * digits, places });
}

/** Below zero, zero or above it, as `one` is less than, the same as or more than `other`. */
export function compare(one: string, other: string): number {
  const [first, second] = aligned(one, other);
  return first === second ? 0 : first < second ? -1 : 1;
}

export function multiply(one: string, other: string): string {
  const [first, second] = [parse(one), parse(other)];
  return plain({ digits: first.digits * second.digits, places: first.places + second.places });
}

/** The same number without zeros at its end: `100.5000` is `100.5`. */
export function trimmed(text: string): string {
  const plainText = plain(parse(text));
  return plainText.includes(".") ? plainText.replace(/\.?0+$/, "") : plainText;
}

function parse(text: string): Decimal {
  const found = TEXT.exec(text);
  if (found === null) throw new Error(`${text} is not a decimal`);
  const [, sign, whole = "", fraction = "", exponent = "0"] = found;
  const digits = BigInt(`${sign}${whole}${fraction}`);
  const places = fraction.length - Number(exponent);
  return places >= 0 ? { digits, places } : { digits: digits * 10n ** BigInt(-places), places: 0 };
}

function plain({ digits, places }: Decimal): string {
  const text = String(digits < 0n ? -digits : digits).padStart(places + 1, "0");
  const sign = digits < 0n ? "-" : "";
  return places === 0 ? `${sign}${text}` : `${sign}${text.slice(0, -places)}.${text.slice(-places)}`;
}

/** Both in units of the smaller one's last digit. */
function aligned(one: string, other: string): [bigint, bigint] {
  const [first, second] = [parse(one), parse(other)];
  const places = Math.max(first.places, second.places);
  return [first.digits * 10n ** BigInt(places - first.places), second.digits * 10n ** BigInt(places - second.places)];
}
