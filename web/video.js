// Moving pictures: the camera, or a video file.

const REFUSALS = {
  NotAllowedError: "The camera was refused: allow it in the address bar, or open a picture.",
  NotFoundError: "No camera found: open a picture instead.",
  NotReadableError: "The camera is in use by another program.",
};

const PATIENCE = 10_000; // milliseconds that the first frame may take

/**
 * Opens the camera.
 *
 * @returns {Promise<Moving>}
 * @throws {Error} If there is none, or if it is refused.
 */
export async function openCamera() {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers open the camera only for https:// and http://localhost.");
  }
  const wanted = { video: { facingMode: "environment" } };
  const stream = await navigator.mediaDevices.getUserMedia(wanted).catch((error) => {
    throw new Error(REFUSALS[error.name] ?? `The camera does not open (${error.message}).`);
  });
  const camera = new Moving("camera", () => stream.getTracks().forEach((track) => track.stop()));
  stream.getTracks()[0].addEventListener("ended", () => camera.stop());
  camera.video.srcObject = stream;
  await camera.video.play();
  return camera;
}

/**
 * Opens a video file and plays it, without sound.
 *
 * @param {File} file
 * @returns {Promise<Moving>}
 * @throws {Error} If the browser cannot read it, or if it has no picture.
 */
export async function openVideo(file) {
  const url = URL.createObjectURL(file);
  const moving = new Moving(file.name, () => URL.revokeObjectURL(url));
  const { video } = moving;
  video.src = url;
  moving.toggle();
  await new Promise((done) => {
    for (const event of ["loadeddata", "error"]) video.addEventListener(event, done);
    setTimeout(done, PATIENCE); // a damaged file may neither load nor fail
  });
  if (video.readyState >= video.HAVE_CURRENT_DATA && video.videoWidth) return moving;
  moving.stop();
  throw new Error(`${file.name}: not a video that this browser can read`);
}

/** A camera or a video file that plays. */
class Moving {
  #release;
  #end;

  constructor(name, release) {
    this.#release = release;
    this.name = name;
    this.video = document.createElement("video");
    this.video.muted = this.video.playsInline = true;
    /** A promise of its end: it was played, fails, or is stopped. */
    this.over = new Promise((resolve) => (this.#end = resolve));
    for (const end of ["ended", "error"]) this.video.addEventListener(end, () => this.#end());
  }

  /** Plays or pauses. */
  toggle() {
    const { video } = this;
    if (video.paused) video.play().catch(() => {}); // refused or stopped: it stays paused
    else video.pause();
  }

  /** A promise of the next frame; it waits while the video is paused. */
  frame() {
    return new Promise((resolve) => this.video.requestVideoFrameCallback(resolve));
  }

  /** Frees the camera or the file. */
  stop() {
    this.#release();
    this.video.pause();
    this.video.srcObject = null;
    this.video.removeAttribute("src");
    this.video.load();
    this.#end();
  }
}
