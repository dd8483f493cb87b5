// Runs before the first paint: which theme, and whether the name is asked for.
{
  const read = (name) => {
    try {
      return JSON.parse(localStorage.getItem(`townsquare.${name}`));
    } catch {
      return null;
    }
  };
  const root = document.documentElement;
  const theme = read("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  if (root.dataset.identity === "oidc") root.dataset.view = "sign-in";
  else if (read("session") || root.dataset.identity !== "guest") root.dataset.view = "app";
}
