/** The public interface of `@selvedge/client`. */

export { SelvedgeError } from "./errors.js";
export type { ErrorCode, ServerErrorCode } from "./errors.js";
