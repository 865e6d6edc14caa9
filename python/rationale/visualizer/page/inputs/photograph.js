// A photograph: a file, something pasted or dropped, or an example of the model's data set.

export class Photograph {
  live = false;

  /** `file`: a Blob. Pictures that the browser cannot show are sent all the same: the server may know them. */
  static async open(file) {
    const input = new Photograph();
    input.file = file;
    input.name = file.name ?? "";
    input.bitmap = await createImageBitmap(file).catch(() => null);
    return input;
  }

  grab() {
    const { bitmap, file } = this;
    return { drawable: bitmap, width: bitmap?.width ?? 0, height: bitmap?.height ?? 0, mark: 0, file };
  }

  close() {
    this.bitmap?.close();
  }
}

/** Calls `take` with pictures and videos that are dropped on the page or pasted. */
export function listen(take) {
  const files = (list) => [...(list ?? [])].filter((item) => item instanceof File);
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const [file] = files(event.dataTransfer?.files);
    if (file) take(file);
  });
  addEventListener("paste", (event) => {
    const [file] = files(event.clipboardData?.files);
    if (file) take(file);
  });
}
