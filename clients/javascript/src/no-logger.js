// Replaces @azure/logger in the bundle: a page could not set the level of a logger inside of it.

const ignore = () => {};

export const createClientLogger = () => ({ verbose: ignore, info: ignore, warning: ignore, error: ignore });
