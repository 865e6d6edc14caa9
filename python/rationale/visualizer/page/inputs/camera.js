// The camera of this device.

export class Camera {
  live = true;

  /** Asks the browser for the camera; fails with a sentence. */
  static async open() {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers give a camera only to https pages or to localhost: open this page as localhost.");
    }
    const stream = await navigator.mediaDevices
      .getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "environment" } })
      .catch((error) => {
        const why = { NotAllowedError: "The browser was told not to give it.", NotFoundError: "There is none here." };
        throw new Error(`No camera. ${why[error.name] ?? error.message}`);
      });
    const camera = new Camera();
    camera.stream = stream;
    camera.video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, srcObject: stream });
    await camera.video.play();
    return camera;
  }

  /** What there is to see now: something to draw, its size, and a mark that differs between frames. */
  grab() {
    const { videoWidth: width, videoHeight: height } = this.video;
    return width ? { drawable: this.video, width, height, mark: this.video.currentTime } : null;
  }

  close() {
    for (const track of this.stream.getTracks()) track.stop();
  }
}
