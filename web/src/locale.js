// Imported before all else: some browsers name a language, after a POSIX locale, that their own Intl refuses, which uPlot asks for
// while it is loaded.
try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, 'language', { value: 'en-US' });
}
