// Questions to the kernel: one at a time, and of those that come meanwhile only the newest.

const SLOW = 2000; // milliseconds after which it is said that an answer is awaited
const TICK = 200; // milliseconds between two readings of the clock while an answer comes in parts

export class Asking {
  /**
   * @param {(values: object, id: string) => void} send
   * @param {(said: {text: string, wrong: boolean, passing?: boolean}) => void} say how it stands; `passing`: it will be another in a moment
   * @param {() => number} now in milliseconds
   * @param {(fn: () => void, delay: number) => any} later
   */
  constructor(send, say, now = () => performance.now(), later = (fn, delay) => setTimeout(fn, delay)) {
    Object.assign(this, { send, say, now, later, asked: null, following: null, waiting: null, count: 0 });
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
    this.following = null; // what was being answered is no longer wanted
    this.later(() => {
      if (this.asked === asked) this.say({ text: "Waiting for the kernel. Is it running, and free?", wrong: false });
    }, SLOW);
    this.send(values, asked.id);
  }

  /**
   * After a part of an answer, with `more` to come, the kernel can be asked something newer.
   * @param {{id: string, error: string, more?: boolean}} answer @returns {boolean} whether it was the one awaited
   */
  answered({ id, error, more = false }) {
    const question = [this.asked, this.following].find((each) => each?.id === id);
    if (!question) return false;
    const ticking = this.following === question;
    if (this.asked === question) this.asked = null;
    this.following = more ? question : null;
    if (error) this.say({ text: error, wrong: true });
    else if (!more) this.say({ text: `answered in ${Math.round(this.now() - question.at)} ms`, wrong: false });
    else if (!ticking) this.tick(question);
    const next = this.waiting;
    this.waiting = null;
    if (next) this.ask(next);
    return true;
  }

  /** A minute may pass between two parts of an answer: a clock that stood still would look as if the kernel hung. */
  tick(question) {
    if (this.following !== question) return;
    this.say({ text: `at work: ${((this.now() - question.at) / 1000).toFixed(1)} s`, wrong: false, passing: true });
    this.later(() => this.tick(question), TICK);
  }
}
