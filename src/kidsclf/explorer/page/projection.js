// Lambert's azimuthal equal-area projection round a centre, east to the left (Snyder 1987, p. 182).
// All angles in degrees; a degree at the centre is one unit.

const RADIAN = Math.PI / 180;
export const WIDEST = 2 / RADIAN; // where the point opposite to the centre lies

export function project(ra, dec, centre) {
  const dra = (ra - centre.ra) * RADIAN, phi = dec * RADIAN, phi0 = centre.dec * RADIAN;
  const cosine = Math.sin(phi0) * Math.sin(phi) + Math.cos(phi0) * Math.cos(phi) * Math.cos(dra);
  const scale = Math.sqrt(2 / Math.max(1 + cosine, 1e-12)) / RADIAN;
  return [
    -scale * Math.cos(phi) * Math.sin(dra),
    scale * (Math.cos(phi0) * Math.sin(phi) - Math.sin(phi0) * Math.cos(phi) * Math.cos(dra)),
  ];
}

export function unproject(x, y, centre) {
  const distance = Math.min(Math.hypot(x, y), WIDEST * 0.999);
  if (distance < 1e-12) return { ra: centre.ra, dec: centre.dec };
  const angle = 2 * Math.asin(distance * RADIAN / 2), phi0 = centre.dec * RADIAN;
  const north = y / Math.hypot(x, y), east = -x / Math.hypot(x, y);
  const sine = Math.cos(angle) * Math.sin(phi0) + north * Math.sin(angle) * Math.cos(phi0);
  const across = east * Math.sin(angle);
  const along = Math.cos(phi0) * Math.cos(angle) - north * Math.sin(phi0) * Math.sin(angle);
  return {
    ra: ((centre.ra + Math.atan2(across, along) / RADIAN) % 360 + 360) % 360,
    dec: Math.asin(Math.min(1, Math.max(-1, sine))) / RADIAN,
  };
}

// The angle from the centre that a distance on the plane stands for.
export const angle = distance => 2 * Math.asin(Math.min(1, distance * RADIAN / 2)) / RADIAN;

// The distance from the centre at which an angle is laid out.
export const plane = degrees => 2 / RADIAN * Math.sin(degrees * RADIAN / 2);

// Lines of equal right ascension and declination over a view, with what is written at them.
export function graticule(centre, reach) {
  const step = STEPS.find(each => each >= reach / 3) ?? 30, lines = [];
  const squeeze = Math.max(Math.cos(centre.dec * RADIAN), 0.02);
  const stepRa = STEPS.find(each => each >= reach / 3 / squeeze) ?? 30;
  const half = Math.min(180, 1.5 * reach / squeeze), south = Math.max(-90, centre.dec - 1.5 * reach);
  const north = Math.min(90, centre.dec + 1.5 * reach);
  for (let k = Math.ceil((centre.ra - half) / stepRa); k * stepRa <= centre.ra + half; k++) {
    const ra = k * stepRa;
    lines.push(line(t => [ra, south + t * (north - south)], centre, `${degrees((ra + 720) % 360, stepRa)}°`, "ra"));
  }
  for (let k = Math.ceil(south / step); k * step <= north; k++) {
    const dec = k * step;
    lines.push(line(t => [centre.ra - half + 2 * half * t, dec], centre, `${dec > 0 ? "+" : ""}${degrees(dec, step)}°`, "dec"));
  }
  return lines;
}

const STEPS = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30];
const POINTS = 48;

const degrees = (value, step) => value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));

function line(place, centre, text, kind) {
  const points = Array.from({ length: POINTS + 1 }, (_, k) => project(...place(k / POINTS), centre));
  return { xs: points.map(each => each[0]), ys: points.map(each => each[1]), text, kind };
}
