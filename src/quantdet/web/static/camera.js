// The webcam: one frame after the other, each as soon as the last was looked at.

const WIDTH = 1280;

function inWords(error) {
  if (error.name === "NotAllowedError") return "the browser was not allowed to use the webcam";
  if (error.name === "NotFoundError") return "this machine has no webcam";
  return `the webcam does not start (${error.message})`;
}

/**
 * @param {(frame: ImageBitmap, number: number) => Promise<void>} look called with each frame.
 * @returns {Promise<() => void>} stops it.
 * @throws {Error} with what is wrong, in words for people.
 */
export async function startCamera(look) {
  if (!navigator.mediaDevices) {
    throw new Error("webcams work only on pages from https or from this machine");
  }
  let stream;
  try {
    const video = { facingMode: "environment", width: { ideal: WIDTH } };
    stream = await navigator.mediaDevices.getUserMedia({ video });
  } catch (error) {
    throw new Error(inWords(error));
  }
  const video = Object.assign(document.createElement("video"), {
    srcObject: stream,
    muted: true,
    playsInline: true,
  });
  await video.play();
  let running = true;
  const stop = () => {
    running = false;
    for (const track of stream.getTracks()) track.stop();
  };
  const loop = async () => {
    for (let number = 0; running; number++) {
      const frame = await createImageBitmap(video);
      await look(frame, number);
      await new Promise(requestAnimationFrame);
    }
  };
  loop().catch(stop);
  return stop;
}
