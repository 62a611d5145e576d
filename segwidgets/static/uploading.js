// Pictures that the viewer chooses from disk. Their bytes go to the kernel once; from then on a picture is called by its key.

/** What is wrong with a file that has more than `most` bytes, and "" with others. @param {{name: string, size: number}} file */
export function tooLarge({ name, size }, most) {
  if (size <= most) return "";
  return `${name} has ${(size / 1e6).toFixed(1)} MB; at most ${most / 1e6} MB can be sent: make the picture smaller`;
}

/**
 * @param {object} values name → value, of a picture {key, name} @param {object} known those that the kernel has
 * @param {Map<string, ArrayBuffer>} files bytes by their key
 * @returns {[object, ArrayBuffer[]]} what to send: values in which a picture that the kernel lacks has the number of its bytes
 */
export function packed(values, known, files) {
  const buffers = [];
  const sent = Object.entries(values).map(([name, value]) => {
    const bytes = files.get(value?.key);
    const needed = bytes && known[name]?.key !== value.key;
    return [name, needed ? { ...value, buffer: buffers.push(bytes) - 1 } : value];
  });
  return [Object.fromEntries(sent), buffers];
}
