/** The error that the SDK throws, as far as the console sees it. */

export class FakeError extends Error {
  override readonly name = "SelvedgeError";
  constructor(
    readonly code: string,
    message: string,
    readonly field?: string,
  ) {
    super(message);
  }
}
