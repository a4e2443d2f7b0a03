// Fewer pixels while frames follow each other too slowly, all of them again at rest.

const SLOW = 40; // ms between frames; 30 a second are 33
const COUNTED = 3; // frames in a row that decide
const REST = 150; // ms without a frame
const FACTORS = [1, 0.75, 0.5]; // of the pixels along a side

export class Pace {
  // `apply(factor)` takes effect with the next frame, which `request` asks for.
  constructor(apply, request) {
    Object.assign(this, { apply, request });
    this.level = 0;
    this.recent = [];
    this.followed = false; // whether the last frame had asked for another
  }

  get coarse() {
    return this.level > 0;
  }

  // Before a frame is drawn; `more`: whether another is asked for already.
  frame(time, more) {
    if (this.followed) this.recent.push(time - this.time);
    if (!more) this.recent = [];
    if (this.recent.length >= COUNTED) {
      const mean = this.recent.reduce((sum, value) => sum + value) / this.recent.length;
      if (mean > SLOW && this.level < FACTORS.length - 1) this.set(this.level + 1);
      this.recent = [];
    }
    this.time = time;
    this.followed = more;
    clearTimeout(this.timer);
    if (this.coarse && !more) this.timer = setTimeout(() => this.rest(), REST);
  }

  rest() {
    clearTimeout(this.timer);
    this.recent = [];
    this.followed = false;
    if (!this.coarse) return;
    this.set(0);
    this.request();
  }

  set(level) {
    this.level = level;
    this.apply(FACTORS[level]);
  }
}
