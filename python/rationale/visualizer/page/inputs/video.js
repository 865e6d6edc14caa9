// A video file, played by the browser.
import { button, el, say } from "../dom.js";

const STEP = 1 / 25; // seconds

export class Video {
  live = true;

  static async open(file) {
    const input = new Video();
    input.address = URL.createObjectURL(file);
    input.name = file.name;
    const video = Object.assign(document.createElement("video"), { muted: true, loop: true, playsInline: true });
    input.video = video;
    input.sought = 0; // how often another place was looked for and found
    video.addEventListener("seeked", () => (input.sought += 1));
    await new Promise((resolve, reject) => {
      video.onloadeddata = resolve;
      video.onerror = () => reject(new Error(`${file.name}: this browser cannot play it; try MP4 (H.264) or WebM.`));
      video.src = input.address;
    });
    await input.findLength();
    await video.play();
    return input;
  }

  /** Files that were recorded in a browser do not say how long they are until their end was looked for. */
  async findLength() {
    if (Number.isFinite(this.video.duration)) return;
    await new Promise((resolve) => {
      this.video.ondurationchange = () => Number.isFinite(this.video.duration) && resolve();
      this.video.currentTime = 1e9;
      setTimeout(resolve, 2000);
    });
    this.video.currentTime = 0;
  }

  /** Nothing while a place is looked for: the time is the new one by then, the picture still the old one. */
  grab() {
    const { videoWidth: width, videoHeight: height, currentTime, seeking } = this.video;
    return width && !seeking ? { drawable: this.video, width, height, mark: `${currentTime} ${this.sought}` } : null;
  }

  /** Play, step and scrub. */
  controls() {
    const { video } = this;
    const play = button("Pause", "Play or pause the video (space)", () => (video.paused ? video.play() : video.pause()));
    const step = (by) => {
      video.pause();
      video.currentTime = Math.max(0, Math.min(video.duration || 0, video.currentTime + by));
    };
    const place = el("input", { type: "range", min: 0, max: 1, step: 0.001, title: "Place in the video", "aria-label": "Place in the video" });
    const time = el("output", {});
    place.addEventListener("input", () => {
      video.currentTime = Number(place.value) * (video.duration || 0);
    });
    const show = () => {
      say(play, video.paused ? "Play" : "Pause");
      if (document.activeElement !== place) place.value = video.duration ? video.currentTime / video.duration : 0;
      say(time, `${video.currentTime.toFixed(1)} of ${(video.duration || 0).toFixed(1)} s`);
    };
    for (const event of ["play", "pause", "timeupdate", "seeked"]) video.addEventListener(event, show);
    show();
    return el(
      "div.playing", {}, play,
      button("◂", "One frame back", () => step(-STEP), { "aria-label": "One frame back" }),
      button("▸", "One frame on", () => step(STEP), { "aria-label": "One frame on" }),
      place, time,
    );
  }

  close() {
    this.video.pause();
    this.video.removeAttribute("src");
    URL.revokeObjectURL(this.address);
  }
}
