// Questions to the kernel: one at a time, and of those that come meanwhile only the newest.

const SLOW = 2000; // milliseconds after which it is said that an answer is awaited

export class Asking {
  /**
   * @param {(values: object, id: string) => void} send
   * @param {(said: {text: string, wrong: boolean}) => void} say how it stands
   * @param {() => number} now in milliseconds
   * @param {(fn: () => void, delay: number) => any} later
   */
  constructor(send, say, now = () => performance.now(), later = (fn, delay) => setTimeout(fn, delay)) {
    Object.assign(this, { send, say, now, later, asked: null, waiting: null, count: 0 });
    this.view = Math.random().toString(36).slice(2); // answers reach all views of a widget
  }

  /** Whether an answer is still to come. */
  get open() {
    return this.asked !== null;
  }

  ask(values) {
    if (this.asked) {
      this.waiting = values;
      return;
    }
    const asked = { id: `${this.view}:${this.count++}`, at: this.now() };
    this.asked = asked;
    this.later(() => {
      if (this.asked === asked) this.say({ text: "Waiting for the kernel. Is it running, and free?", wrong: false });
    }, SLOW);
    this.send(values, asked.id);
  }

  /** @param {{id: string, error: string}} answer @returns {boolean} whether it was the one awaited */
  answered({ id, error }) {
    if (this.asked?.id !== id) return false;
    const took = Math.round(this.now() - this.asked.at);
    this.asked = null;
    this.say(error ? { text: error, wrong: true } : { text: `answered in ${took} ms`, wrong: false });
    const next = this.waiting;
    this.waiting = null;
    if (next) this.ask(next);
    return true;
  }
}
