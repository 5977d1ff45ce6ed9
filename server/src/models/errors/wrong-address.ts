/** How the address of a provider may be wrong. */
export type ProviderAddress = Readonly<{
  /** The variable that says it; null when it is the provider's own. */
  variable: string | null
  /** What such an address ends with and this one does not; null when nothing is missing. */
  missingEnd: string | null
}>

/** The question that a web page in the place of an answer raises. */
export function whyAPage(address: ProviderAddress | null): string {
  const missing = whyMissing(address)
  if (missing !== null) return missing
  return address?.variable
    ? `is ${address.variable} the address of its API?`
    : 'does a proxy or a login page stand in between?'
}

/** The question that "not found" raises; null when the address looks complete. */
export function whyMissing(address: ProviderAddress | null): string | null {
  if (!address?.variable || address.missingEnd === null) return null
  return `is ${address.missingEnd} missing at the end of ${address.variable}?`
}

/** Whether an answer is a page for people: by its beginning, because some say `text/html` of everything. */
export function isWebPage(body: string): boolean {
  const beginning = body.slice(0, 1_024).replace(/^[\s\uFEFF]+/, '')
  return /^<(?:!doctype\s+html|html|head|body|title|!--)/i.test(beginning)
}
