export const first = async () => {
  throw new Error('x');
};
