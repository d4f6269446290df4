// Types for the JSDoc comments of the dashboard's scripts. Response types come from the service's OpenAPI document.

import type { components } from "../../build/openapi";

type Schemas = components["schemas"];

declare global {
  /** Requests and responses of the service. */
  namespace API {
    /** Contains nodes if there are several machines. */
    type Snapshot = Omit<Schemas["GPUStatusResponse"], "gpus"> & { gpus: GPU[]; nodes?: NodeSummary[] };
    type GPU = Schemas["GPUInfo"] & { node?: string };
    type GPUClaim = Schemas["GPUClaim"];
    type NodeSummary = Schemas["NodeSummary"];
    type NodeStatus = Schemas["NodeStatus"];
    type Node = Schemas["NodeInfo"];
    type Server = Schemas["ServerInfo"];
    type Hold = Schemas["Hold"];
    type Orphan = Schemas["Orphan"];
    type GPUDetails = Schemas["GPUDetails"];
    type GPUHealth = Schemas["GPUHealth"];
    type GPUStatus = Schemas["GPUStatus"];
    type GPUHistory = Schemas["GPUHistoryResponse"];
    type GPUProcesses = Schemas["GPUProcesses"];
    type Process = Schemas["ProcessOnGPU"];
    type GPUEvent = Schemas["GPUEvent"] & { node?: string | null };
    type CurrentTask = Schemas["CurrentTask"];
    type Overview = Schemas["SystemOverview"];
    type Installation = Schemas["TrainerInstallation"];
    type Trainer = Schemas["TrainerAtAGlance"];
    type Row = Schemas["TaskRow"];
    type TaskChange = Schemas["PatchTraining"];
    type DeletedCheckpoint = Schemas["DeletedCheckpoint"];
    type ComfyLink = Schemas["ComfyLink"];
    type ComfyLinks = Schemas["ComfyLinkList"];
    type Retention = Schemas["RetentionView"];
    type RetentionPreview = Schemas["RetentionPreview"];
    type RetainedItem = Schemas["RetainedItem"];
    type AppliedRetention = Schemas["AppliedRetention"];
    type Task = Schemas["TaskDetails"];
    type TaskList = Schemas["TrainingList"];
    type Comparison = Schemas["ComparedTrainings"];
    type TaskStatus = Schemas["TaskStatus"];
    type TaskEvent = Schemas["TaskEvent"];
    type TaskEventList = Schemas["TrainingEventList"];
    type Attempt = Schemas["AttemptView"];
    type Progress = Schemas["ProgressView"];
    type TaskProgress = Schemas["TaskProgressView"];
    type Metrics = Schemas["MetricsView"];
    type Series = Schemas["SeriesView"];
    type Cause = Schemas["Cause"];
    type Checkpoint = Schemas["Checkpoint"];
    type CheckpointList = Schemas["CheckpointList"];
    type Export = Schemas["ExportView"];
    type Artifact = Schemas["Artifact"];
    type GridSample = Schemas["TrainingSample"];
    type GridSampleList = Schemas["TrainingSampleList"];
    type SampleRanking = Schemas["SampleRanking"];
    type RankedModel = Schemas["RankedModel"];
    type SamplingRequest = Schemas["StartSampling"];
    type SampleSet = Schemas["SampleSet"];
    type SampleSetList = Schemas["SampleSetList"];
    type NewSampleSet = Partial<Schemas["CreateSampleSet"]> & Pick<Schemas["CreateSampleSet"], "name" | "prompts">;
    type SetDefaults = Schemas["SetDefaults"];
    type SampleSetChange = Partial<Schemas["ChangeSampleSet"]>;
    type Workflow = Schemas["Workflow"];
    type WorkflowRow = Schemas["WorkflowRow"];
    type WorkflowList = Schemas["WorkflowList"];
    type WorkflowBody = Pick<Schemas["FindNodes"], "workflow"> & Partial<Schemas["FindNodes"]>;
    type NewWorkflow = Schemas["CreateWorkflow"];
    type FoundNodes = Schemas["FoundNodes"];
    type Sweep = Schemas["SweepDetails"];
    type SweepList = Schemas["SweepList"];
    type SweepRow = Schemas["SweepRow"];
    type SweepPlan = Schemas["SweepPlan"];
    type SweepResult = Schemas["SweepResult"];
    /** A request for a sweep, with defaults for what is left out. */
    type SweepRequest = { request: Request; values: Record<string, unknown[]>; early_stop?: object };
    type ArtifactList = Schemas["ArtifactList"];
    type Reason = Schemas["ReasonCode"];
    type Validation = Schemas["Validation"];
    type PlannedCache = Schemas["PlannedCache"];
    type PlannedOutputs = Schemas["PlannedOutputs"];
    type PinnedDataset = Schemas["PinnedDataset"];
    type PlannedMemory = Schemas["PlannedMemory"];
    type Finding = Schemas["FindingView"];
    type Failure = Schemas["Failure"];
    type LogLine = Schemas["LogLine"];
    type LogPage = Schemas["TaskLogPage"];
    type LogLevel = Schemas["LogLevel"];
    type Search = Schemas["SearchResult"];
    type SearchHit = Schemas["SearchHit"];
    type Alert = Schemas["AlertView"];
    type AlertList = Schemas["AlertList"];
    type AlertCounts = Schemas["AlertCounts"];
    type AlertDetail = Schemas["AlertDetailView"];
    type AlertHistoryRow = Schemas["AlertHistoryRow"];
    type Silence = Schemas["SilenceView"];
    type SilenceList = Schemas["SilenceList"];
    type SilenceRequest = Omit<Schemas["CreateSilence"], "matchers"> & { matchers: Matcher[] };
    type Matcher = { label: string; value: string; is_glob?: boolean };
    type Rule = Schemas["RuleView"];
    type RuleList = Schemas["RuleList"];
    type RuleResult = Schemas["RuleResult"];
    type RuleScope = Schemas["RuleScope"];
    type RuleRequest = Partial<Schemas["CreateRule"]>;
    type RuleChange = Partial<Schemas["ChangeRule"]>;
    type AlertMetric = Schemas["AlertMetric"];
    type Channel = Schemas["ChannelView"];
    type ChannelList = Schemas["ChannelList"];
    type ChannelRequest = Partial<Schemas["CreateChannel"]>;
    type ChannelChange = Partial<Schemas["ChangeChannel"]>;
    type Delivery = Schemas["DeliveryView"];
    type DeliveryList = Schemas["DeliveryList"];
    type Severity = Schemas["Severity"];
    type Ways = Schemas["SignInMethods"];
    type WhoAmI = Schemas["WhoAmI"];
    type Permission = WhoAmI["permissions"][number];
    type Quota = Schemas["Quota"];
    type Usage = Schemas["Usage"];
    type Key = Schemas["KeyView"];
    type NewKey = Schemas["NewKey"];
    type KeyList = Schemas["KeyList"];
    type Person = Schemas["UserView"];
    type AuditRow = Schemas["AuditRow"];
    type AuditPage = Schemas["AuditPage"];
    type ChainVerdict = Schemas["ChainVerdict"];
    type Dataset = Schemas["DatasetRow"];
    type DatasetList = Schemas["DatasetList"];
    type DatasetDetails = Schemas["DatasetDetails"];
    type DatasetVersion = Schemas["VersionView"];
    type VersionList = Schemas["VersionList"];
    type DatasetCache = Schemas["DatasetCacheView"];
    type DatasetCaches = Schemas["CacheList"];
    type Item = Schemas["ItemView"];
    type ItemList = Schemas["ItemList"];
    type CaptionEdit = Schemas["CaptionEdit"];
    type ItemsEdit = Schemas["ItemsEdit"];
    type ItemsRequest = Partial<Schemas["EditItems"]>;
    type DatasetSplit = Schemas["DatasetSplit"];
    type SplitRequest = Pick<Schemas["SplitDataset"], "items" | "into"> & Partial<Schemas["SplitDataset"]>;
    type DatasetFinding = Schemas["DatasetFindingView"];
    type ModelList = Schemas["ModelList"];
    type PresetList = Schemas["PresetList"];
    type Preset = Schemas["PresetView"];
    type OwnPreset = Schemas["OwnPreset"];
    type OwnPresetList = Schemas["OwnPresetList"];
    type NewPreset = Omit<Schemas["CreatePreset"], "model_type"> & { model_type: string };
    type PresetChange = Schemas["ChangePreset"];
    type Model = Schemas["ModelView"];
    type Variant = Schemas["VariantView"];
    type Component = Schemas["ComponentView"];
    type ModelSettings = Schemas["ModelSettingsView"];
    type SettingTable = Schemas["SettingTableView"];
    type Setting = Schemas["SettingView"];
    type RunTimeSetting = Schemas["RunTimeSettingView"];
    type RunTimeValue = RunTimeSetting["value"];
    type Schedule = Schemas["ScheduleView"];
    type ScheduleWindow = Schemas["ScheduleWindow"];
    type Day = Schemas["Day"];
    type PowerLimit = Schemas["PowerLimitView"];
    type PowerLimitRequest = Partial<Schemas["SetPowerLimit"]>;
    type IdleEnd = Schemas["IdleView"];
    type SetupChecklist = Schemas["SetupChecklist"];
    type SetupStep = Schemas["SetupStep"];
    type FileListing = Schemas["FileListing"];
    type FormsRequest = Partial<Schemas["ConvertForms"]>;
    type RequestForms = Schemas["RequestFormsView"];
    type Weights = Schemas["WeightsView"];
    type Download = Schemas["DownloadView"];
    type DownloadList = Schemas["DownloadList"];
    type DownloadRequest = Partial<Schemas["StartDownload"]>;
    type RegisteredModel = Schemas["RegisteredModelView"];
    type RegistryList = Schemas["RegistryList"];
    type RegisterRequest = Partial<Schemas["RegisterModel"]>;
    type RegisteredChange = Partial<Schemas["ChangeModel"]>;
    type ModelVersion = Schemas["ModelVersionView"];
    type ModelVersionList = Schemas["ModelVersionList"];
    type Sample = Schemas["SampleView"];
    type SampleList = Schemas["SampleList"];
    type Push = Schemas["PushView"];
    type PushList = Schemas["PushList"];
    type PushRequest = Partial<Schemas["StartPush"]>;
    type VersionChange = Partial<Schemas["ChangeModelVersion"]>;
    type Work = Schemas["PreprocessView"];
    type WorkPage = Schemas["PreprocessPage"];
    type WorkRequest = Partial<Schemas["StartPreprocess"]>;
    type GenerateRequest = Partial<Schemas["GenerateCaptions"]>;
    type Generation = Schemas["CaptionGeneration"];
    type CaptionEstimate = Schemas["CaptionEstimate"];
    type Upload = Schemas["UploadView"];
    type UploadPage = Schemas["UploadPage"];
    type DatasetCheck = Schemas["DatasetCheck"];
    type Bucket = Schemas["BucketView"];
    type CheckRequest = Partial<Schemas["CheckDataset"]>;
    /** How the trainer produces the pixels of an item. `box` is left, top, right, bottom in pixels of the file. */
    interface Recipe {
      model_type: string;
      width: number;
      height: number;
      box: [left: number, top: number, right: number, bottom: number];
      frames: number[];
      fps: number | null;
      is_video: boolean;
      shown: number[];
    }
    /** An edit of captions; missing fields have defaults. */
    type CaptionsRequest = Partial<Schemas["EditCaptions"]>;

    /** A request for a training as stored by the service, which validates it. */
    interface Request extends Omit<Partial<Schemas["StartBody"]>, "config" | "dataset"> {
      config?: ToyConfig | null;
      dataset?: Record<string, unknown> | null;
    }
    type ToyConfig = Record<string, unknown> & { toy?: Record<string, unknown> };

    /** A request for a key; changes the given fields of the user's quota. */
    type KeyRequest = Omit<Schemas["GenerateKey"], "quota"> & { quota: Partial<Quota> | null };

    /** Query parameters. */
    type Query = Record<string, string | number | null | undefined>;

    /** A point of a metric in a stream. */
    interface Point {
      metric: string;
      step: number | null;
      epoch: number | null;
      value: number | null;
      timestamp: string;
    }

    /** Data of stream messages by type. */
    interface Messages {
      snapshot: Snapshot;
      progress: TaskProgress;
      metrics: { task_id: string; points: Point[] };
      status: { task_id: string; status: TaskStatus; event: TaskEvent };
      log: { logs: LogLine[]; next_offset: number };
      partial: { line: LogLine };
      dropped: unknown;
      reset: unknown;
      alert: { alert: Alert; change: AlertHistoryRow };
      end: unknown;
    }

    /** Handlers of stream messages by type. */
    type Listeners = { [Type in keyof Messages]?: (data: Messages[Type], message: { timestamp: string }) => void };
  }

  /** Keys of texts. */
  type WordKey = keyof typeof import("../../api/dashboard/locales/en.json");

  /** Children of an element. */
  type Child = Node | string | number | false | null | undefined | readonly Child[];

  /** Attribute values; null, undefined and false omit the attribute, true sets it empty. */
  type Attribute = string | number | boolean | null | undefined;

  /** A tag, optionally with classes: `div.panel`. */
  type ElementSelector = keyof HTMLElementTagNameMap | `${keyof HTMLElementTagNameMap}.${string}`;

  type ElementOf<Selector> = Selector extends `${infer Tag}.${string}` ? ElementOf<Tag>
    : Selector extends keyof HTMLElementTagNameMap ? HTMLElementTagNameMap[Selector] : never;

  interface Properties {
    on?: { [Type in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Type]) => unknown };
    data?: Record<string, string>;
    [attribute: string]: Attribute | Properties["on"] | Properties["data"];
  }

  /** A finding with its severity. */
  type SeverityFinding = API.Finding & { severity: "error" | "warning" };

  /** Makes trusted addresses of scripts; some browsers lack it. */
  var trustedTypes: {
    createPolicy(name: string, rules: { createScriptURL: (text: string) => string }): { createScriptURL(text: string): unknown };
  } | undefined;

  /** What the service worker uses of its global object. */
  interface NoticeWorker {
    skipWaiting(): Promise<void>;
    clients: {
      matchAll(options: { type: "window"; includeUncontrolled: boolean }): Promise<
        { url: string; focus(): Promise<unknown>; postMessage(message: unknown): void }[]
      >;
      openWindow(address: string): Promise<unknown>;
    };
  }

  /** A click on a notification. */
  type NoticeEvent = Event & {
    notification: Notification & { data: { page: string; address: string } };
    waitUntil(done: Promise<unknown>): void;
  };

  interface HTMLCanvasElement {
    sparkline?: import("../../api/dashboard/ui/sparkline.js").Sparkline;
  }
}
