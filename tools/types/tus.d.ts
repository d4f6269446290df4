// The service turns tus-js-client's distributed file into this module.
declare module "*/vendor/tus.js" {
  import * as tus from "tus-js-client";
  export default tus;
}
