// Calls every operation through types that openapi-typescript made of the document (schema.d.ts), and prints which.
// tsc checks what is asked and what is read; the arguments are the address of the server and a directory of pictures.

import { manageKeys } from "./walk_access.js";
import { handleAlerts } from "./walk_alerts.js";
import { called } from "./walk_client.js";
import { fillADataset, lookAtItems, manageDatasets, useADirectory } from "./walk_datasets.js";
import { askAboutTheMachine, holdAGPU } from "./walk_machine.js";
import { lookAtModels } from "./walk_models.js";
import { clearUpPreprocessing, preprocess, readWhatItSaid, writeCaptions } from "./walk_preprocess.js";
import { cacheAhead, clearUp, readWhatItMade, train } from "./walk_training.js";
import { uploadByForm, uploadByParts } from "./walk_uploads.js";

await askAboutTheMachine();
await holdAGPU();
await manageKeys();
await handleAlerts();
await lookAtModels();
await uploadByParts();
await uploadByForm();
const item = await fillADataset();
await lookAtItems(item);
const made = await preprocess();
await readWhatItSaid(made);
await writeCaptions();
await clearUpPreprocessing(made);
await useADirectory(process.argv[3] ?? "");
await cacheAhead();
await manageDatasets();
const trained = await train();
await readWhatItMade(trained);
await clearUp(trained);
console.log(JSON.stringify([...called].sort()));
