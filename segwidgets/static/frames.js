// Decoded pictures: each frame of a film is decoded once and kept, so that scrubbing through it only draws.

export class FrameStore {
  /**
   * @param {ArrayBuffer[]} contents the encoded frames; equal frames are one buffer @param {string} type their media type
   * @param {FrameStore|undefined} former of the film that this one replaces: frames that are in both are not decoded again
   */
  constructor(contents, type, former) {
    this.contents = contents;
    this.type = type;
    this.decoded = new Map(); // buffer → its bitmap, or the promise of it
    this.gone = false;
    if (former?.type === type) this.takeOver(former);
    this.ready = this.decodeAll();
  }

  takeOver(former) {
    for (const [content, bitmap] of former.decoded) {
      const same = bitmap instanceof Promise ? undefined : this.contents.find((each) => equalBytes(each, content));
      if (!same || this.decoded.has(same)) continue;
      this.decoded.set(same, bitmap);
      former.decoded.delete(content);
    }
  }

  /** Decodes ahead, one after the other, so that a page with many films stays quick. */
  async decodeAll() {
    for (const content of this.contents) {
      if (this.gone) return;
      await this.bitmapOf(content);
    }
  }

  /** @param {ArrayBuffer} content @returns {ImageBitmap|Promise<ImageBitmap>} */
  bitmapOf(content) {
    if (!this.decoded.has(content)) this.decoded.set(content, this.decode(content));
    return this.decoded.get(content);
  }

  async decode(content) {
    // No <img>: its blob address is refused where pages restrict sources.
    const bitmap = await createImageBitmap(new Blob([content], { type: this.type }));
    if (this.gone) bitmap.close();
    else this.decoded.set(content, bitmap);
    return bitmap;
  }

  /** Calls `paint` with the frame's bitmap: at once if it is decoded, else when it is. @param {number} index @param {Function} paint */
  use(index, paint) {
    const bitmap = this.bitmapOf(this.contents[index]);
    if (!(bitmap instanceof Promise)) paint(bitmap);
    else bitmap.then((each) => { if (!this.gone) paint(each); });
  }

  dispose() {
    this.gone = true;
    for (const bitmap of this.decoded.values()) if (!(bitmap instanceof Promise)) bitmap.close();
    this.decoded.clear();
  }
}

function equalBytes(one, other) {
  if (one.byteLength !== other.byteLength) return false;
  const [a, b] = [new Uint8Array(one), new Uint8Array(other)];
  return a.every((byte, i) => byte === b[i]);
}
