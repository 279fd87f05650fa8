/**
 * The page's one clock for what counts down: no request is made for it.
 *
 * It ticks every ten seconds, every second while something ends soon, and stands still
 * while nobody looks. Pure, but for timers.
 */

const SLOW = 10_000;
const FAST = 1000;

export class Clock {
  /** `isUrgent(now)`: whether seconds matter now. */
  constructor(isUrgent: (now: number) => boolean) {
    this._isUrgent = isUrgent;
  }

  /** Seconds since the epoch, as of the last tick. */
  get now(): number {
    return this._now;
  }

  /** Call `tick` at each tick; returns how to end this. */
  readonly subscribe = (tick: () => void): (() => void) => {
    this._listeners.add(tick);
    if (this._listeners.size === 1) {
      this._go();
    }
    return () => {
      this._listeners.delete(tick);
      if (!this._listeners.size) {
        clearTimeout(this._timer);
      }
    };
  };

  /** Whether somebody can see the page. */
  set isShown(shown: boolean) {
    this._isShown = shown;
    this.wake();
  }

  /** What is looked at has changed: tick now, and see anew what is urgent. */
  wake(): void {
    if (this._listeners.size) {
      this._go();
    }
  }

  private _go(): void {
    clearTimeout(this._timer);
    if (!this._isShown) {
      return;
    }
    this._now = Date.now() / 1000;
    this._listeners.forEach(tick => tick());
    this._timer = setTimeout(() => this._go(), this._isUrgent(this._now) ? FAST : SLOW);
  }

  private readonly _isUrgent: (now: number) => boolean;
  private readonly _listeners = new Set<() => void>();
  private _now = Date.now() / 1000;
  private _isShown = true;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}
