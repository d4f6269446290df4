// The service turns uPlot's distributed file into this module.
declare module "*/vendor/uPlot.js" {
  import uPlot from "uplot";
  export default uPlot;
}
