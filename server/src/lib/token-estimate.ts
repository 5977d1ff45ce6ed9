/**
 * About how many tokens a text has. Made from what common tokenizers do: four letters of a Latin text, one and a half of
 * other alphabets, and less than one ideograph a token. It errs upwards: a prompt that is a little too short beats one
 * that is refused.
 */
export function estimateTokens(text: string): number {
  let quarters = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) quarters += isLetterOrSpace(unit) ? 1 : 2
    else if (unit < 0x2e80) quarters += 3
    else quarters += 5
  }
  return Math.ceil(quarters / 4)
}

function isLetterOrSpace(unit: number): boolean {
  return unit === 32 || (unit >= 97 && unit <= 122) || (unit >= 65 && unit <= 90)
}
