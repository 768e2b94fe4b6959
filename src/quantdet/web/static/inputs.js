// Ways in for pictures: drop, paste, file dialog.

const hasFiles = ({ dataTransfer }) => [...(dataTransfer?.types ?? [])].includes("Files");

/** @param {(files: File[]) => void} take */
export function listenForPictures(take) {
  const dialog = document.getElementById("file");
  document.getElementById("choose").addEventListener("click", () => dialog.click());
  dialog.addEventListener("change", () => {
    take([...dialog.files]);
    dialog.value = ""; // so that the same file may be chosen again
  });

  let depth = 0; // dragenter and dragleave come for every element within too
  const setDepth = (value) => {
    depth = value;
    document.body.classList.toggle("dropping", depth > 0);
  };
  document.addEventListener("dragenter", (event) => hasFiles(event) && setDepth(depth + 1));
  document.addEventListener("dragleave", (event) => hasFiles(event) && setDepth(depth - 1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    setDepth(0);
    if (event.dataTransfer.files.length) take([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) take([...event.clipboardData.files]);
  });
}
