/** UTF-16 units of an address that is shown. */
const LONGEST_ADDRESS = 2_048

/** What stands in a reply for a picture that its model has made: its address, or what there was where it came as data. */
export function pictureNote(url: string): string {
  if (/^https?:\/\/[^\s<>()]+$/i.test(url) && url.length <= LONGEST_ADDRESS) return `\n\n![picture](${url})\n\n`
  const type = /^data:([\w.+-]{1,64}\/[\w.+-]{1,64})[;,]/.exec(url)?.[1] ?? 'of an unknown type'
  return noteOfPicture(type)
}

/** The same for a picture that came as bytes. */
export function noteOfPicture(mediaType: string): string {
  return `\n\n[The model has made a picture here (${mediaType}), which is not kept]\n\n`
}
