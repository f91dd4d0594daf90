// The three small dialogs: a new customer, a location, an API key.

const GIVEN = ["Ayu", "Bagus", "Citra", "Dewi", "Eko", "Fitri", "Galih", "Hana", "Indra", "Kartika", "Lestari", "Made", "Nadia", "Putri", "Rizky", "Sari", "Tono", "Wulan", "Yusuf"];
const FAMILY = ["Anggraini", "Hidayat", "Kusuma", "Maharani", "Nugroho", "Pratama", "Rahmawati", "Santoso", "Saputra", "Setiawan", "Siregar", "Utami", "Wibowo", "Wijaya"];
const PLACES = [
  ["Monas", -6.1754, 106.8272],
  ["Kota Tua", -6.1352, 106.8133],
  ["Bundaran HI", -6.1950, 106.8230],
  ["SCBD", -6.2265, 106.8090],
  ["Blok M", -6.2443, 106.7985],
  ["Kemang", -6.2607, 106.8137],
  ["Pantai Indah Kapuk", -6.1090, 106.7400],
  ["Taman Mini", -6.3024, 106.8951],
];

// `act` does the work and may refuse: the dialog then stays and says why.
function ask(dialog, act) {
  const form = dialog.querySelector("form");
  const failed = dialog.querySelector(".form-error");
  return new Promise((resolve) => {
    const submit = async (event) => {
      if (event.submitter?.value === "cancel") return;
      event.preventDefault();
      try {
        const done = await act(new FormData(form));
        dialog.close("ok");
        resolve(done);
      } catch (error) {
        failed.textContent = error.message;
        failed.hidden = false;
      }
    };
    form.addEventListener("submit", submit);
    dialog.addEventListener("close", () => {
      form.removeEventListener("submit", submit);
      resolve(null);
    }, { once: true });
    failed.hidden = true;
    dialog.showModal();
  });
}

export function askCustomer(act) {
  const dialog = document.getElementById("customer-dialog");
  const form = dialog.querySelector("form");
  form.elements.name.value = `${one(GIVEN)} ${one(FAMILY)}`;
  form.elements.phone.value = `+62 812 ${digits(4)} ${digits(4)}`;
  const asked = ask(dialog, (data) => act({ name: data.get("name"), phone: data.get("phone") }));
  form.elements.name.select();
  return asked;
}

export function askLocation(act) {
  const dialog = document.getElementById("location-dialog");
  const fields = dialog.querySelector("form").elements;
  const places = document.getElementById("places");
  const choose = ([name, latitude, longitude]) => {
    fields.namedItem("name").value = name;
    fields.namedItem("latitude").value = latitude;
    fields.namedItem("longitude").value = longitude;
    for (const button of places.children) button.classList.toggle("on", button.textContent === name);
  };
  places.replaceChildren(...PLACES.map((place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "pill";
    button.textContent = place[0];
    button.addEventListener("click", () => choose(place));
    return button;
  }));
  choose(PLACES[0]);
  return ask(dialog, (data) => act({
    latitude: Number(data.get("latitude")),
    longitude: Number(data.get("longitude")),
    name: data.get("name") || null,
  }));
}

export function askKey(act) {
  const dialog = document.getElementById("key-dialog");
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  return ask(dialog, (data) => act(String(data.get("key")).trim()));
}

function one(list) {
  return list[Math.floor(Math.random() * list.length)];
}

function digits(count) {
  return String(Math.floor(Math.random() * 10 ** count)).padStart(count, "0");
}
