// In Chinese, by its code, what the service says in English. What has no line here is shown as it was said.

export const said = {
  trainer_not_found: "不知道它的代码目录（含 train.py 的目录）在哪里。",
  trainer_not_found_remedy: "把 `DIFFUSION_PIPE_ROOT` 设为该目录，然后重启服务。",
  interpreter_not_found: "不知道它的 Python 解释器在哪里。",
  interpreter_not_found_remedy: "把 `DIFFUSION_PIPE_PYTHON` 设为其环境的解释器 …/bin/python，然后重启服务。",
  just_queued: "刚刚进入队列",
  max_concurrent: "已有 {running} 个任务在运行，而 MAX_CONCURRENT_TASKS 为 {limit}",
};
