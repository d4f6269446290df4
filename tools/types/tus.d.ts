// The service makes this module of the file that tus-js-client comes in.
declare module "*/vendor/tus.js" {
  import * as tus from "tus-js-client";
  export default tus;
}
