// The service makes this module of the file that uPlot comes in.
declare module "*/vendor/uPlot.js" {
  import uPlot from "uplot";
  export default uPlot;
}
