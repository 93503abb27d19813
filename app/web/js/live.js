// Answers while something moves: a drawing, or what a camera sees.

export const FRAME = "camera.jpg";
const FRAME_MS = 200; // at most five frames a second
const LONGEST_SIDE = 1024; // pixels of a frame that is sent
const QUALITY = 0.9;

/** Does `work` on one thing at a time; of those that come meanwhile, only the last one waits. */
export class Latest {
  #work;
  #waiting = null;
  #isWorking = false;

  constructor(work) {
    this.#work = work;
  }

  offer(thing) {
    this.#waiting = thing;
    if (!this.#isWorking) this.#run();
  }

  drop() {
    this.#waiting = null;
  }

  async #run() {
    this.#isWorking = true;
    while (this.#waiting) {
      const thing = this.#waiting;
      this.#waiting = null;
      await this.#work(thing);
    }
    this.#isWorking = false;
  }
}

/** A camera whose frames are handed on, the next one when the last one was dealt with. */
export class Camera {
  static get isThere() {
    return Boolean(navigator.mediaDevices?.getUserMedia); // only where the page came securely
  }

  #video;
  #onFrame;
  #started = null; // one object per start, until it is stopped
  #stream = null;

  /** `onFrame` gets a JPEG File, and returns a promise. */
  constructor(video, onFrame) {
    this.#video = video;
    this.#onFrame = onFrame;
  }

  /** Also while the browser asks for permission. */
  get isOn() {
    return this.#started !== null;
  }

  async start() {
    this.stop();
    const started = (this.#started = {});
    try {
      await this.#open(started);
    } catch (error) {
      if (this.#started === started) throw error;
    }
  }

  stop() {
    end(this.#stream);
    this.#started = this.#stream = this.#video.srcObject = null;
  }

  async #open(started) {
    const wanted = { video: { facingMode: "environment" }, audio: false };
    const stream = await navigator.mediaDevices.getUserMedia(wanted);
    if (this.#started !== started) return end(stream); // stopped before it was permitted
    this.#stream = stream;
    this.#video.srcObject = stream;
    await this.#video.play();
    this.#watch(stream);
  }

  async #watch(stream) {
    while (this.#stream === stream) {
      const frame = await this.#frame();
      if (this.#stream === stream) await Promise.all([this.#onFrame(frame), pause(FRAME_MS)]);
    }
  }

  async #frame() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
    const canvas = new OffscreenCanvas(Math.round(width * scale), Math.round(height * scale));
    canvas.getContext("2d").drawImage(this.#video, 0, 0, canvas.width, canvas.height);
    const jpeg = await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
    return new File([jpeg], FRAME, { type: jpeg.type });
  }
}

function end(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
