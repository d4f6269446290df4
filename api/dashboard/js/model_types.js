// What can be trained: the toy, and the trainer's model types.

export const MODEL_TYPES = [
  "toy", "anima", "auraflow", "chroma", "cosmos", "cosmos_predict2", "ernie_image", "flux", "flux2", "hidream", "hunyuan-video",
  "hunyuan_image", "hunyuan_video_15", "ideogram4", "krea2", "ltx-video", "ltx2", "lumina_2", "minimax_h3", "omnigen2", "qwen_image",
  "sd3", "sdxl", "wan", "z_image",
];
