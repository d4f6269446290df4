// Calls every operation through the types of openapi-typescript (schema.d.ts), and prints the operations.
// tsc checks requests and responses; the arguments are the address of the server and a directory of pictures.

import { manageKeys } from "./walk_access.js";
import { handleAlerts } from "./walk_alerts.js";
import { called } from "./walk_client.js";
import { fillADataset, manageDatasets, readItems, useADirectory } from "./walk_datasets.js";
import { holdAGPU, readTheMachine } from "./walk_machine.js";
import { readModels } from "./walk_models.js";
import { deletePreprocessing, preprocess, readItsOutput, writeCaptions } from "./walk_preprocess.js";
import { cacheAhead, clearUp, readItsResults, rehearse, sweep, train } from "./walk_training.js";
import { uploadByForm, uploadByParts } from "./walk_uploads.js";

await readTheMachine();
await holdAGPU();
await manageKeys();
await handleAlerts();
await readModels();
await uploadByParts();
await uploadByForm();
const item = await fillADataset();
await readItems(item);
const made = await preprocess();
await readItsOutput(made);
await writeCaptions();
await deletePreprocessing(made);
await useADirectory(process.argv[3] ?? "");
await cacheAhead();
await rehearse();
await sweep();
await manageDatasets();
const trained = await train();
await readItsResults(trained);
await clearUp(trained);
console.log(JSON.stringify([...called].sort()));
