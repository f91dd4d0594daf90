// A picked picture as base64 of at most two megabytes; a larger one is drawn smaller.

const LARGEST = 2_000_000;
const LONGEST_SIDE = 1600;
const AS_IS = new Set(["image/jpeg", "image/png", "image/webp", "image/gif"]);

export async function encoded(file) {
  const blob = file.size <= LARGEST && AS_IS.has(file.type) ? file : await smaller(file);
  if (blob.size > LARGEST) throw new Error("This picture is larger than 2 MB.");
  return base64(blob);
}

async function smaller(file) {
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    throw new Error("This is not a picture that can be sent.");
  }
  const scale = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(picture.width * scale);
  canvas.height = Math.round(picture.height * scale);
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.85));
}

function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(String(reader.result).split(",")[1]));
    reader.addEventListener("error", () => reject(new Error("The picture could not be read.")));
    reader.readAsDataURL(blob);
  });
}
