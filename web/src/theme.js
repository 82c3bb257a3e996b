// Dark or light: as the system has it, unless somebody chose.

const PLACE = 'remora-theme';

export function restoreTheme() {
  const chosen = localStorage.getItem(PLACE);
  if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
}

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

export function toggleTheme() {
  const next = isDark() ? 'light' : 'dark';
  document.documentElement.dataset.theme = next;
  localStorage.setItem(PLACE, next);
  document.dispatchEvent(new Event('themechange'));
}

// A colour of the style sheet, resolved for those who paint by themselves.
export function colour(name) {
  const probe = document.createElement('i');
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
