// The rules that are built in, in Chinese: their titles, and their sentences beside the English ones that they stand for.

/** @type {Record<string, {title: string, summary: [english: string, chinese: string], remedy: [english: string, chinese: string]}>} */
export const rules = {
  gpu_lost: {
    title: "GPU 丢失",
    summary: ["{gpu} is gone from the bus.", "{gpu} 已从总线上消失。"],
    remedy: [
      "Reboot the machine; check power and seating of the board if it repeats.",
      "请重启机器；若再次发生，检查供电和插槽接触。",
    ],
  },
  driver_unreadable: {
    title: "驱动无法读取",
    summary: ["No GPU of {node} can be read: {source_problem}", "{node} 上的 GPU 全部无法读取：{source_problem}"],
    remedy: [
      "Look at `dmesg` and `nvidia-smi`; reload the driver or reboot.",
      "查看 `dmesg` 和 `nvidia-smi`；重新加载驱动或重启。",
    ],
  },
  gpu_unreadable: {
    title: "GPU 无法读取",
    summary: ["{gpu} has not answered for {reading_age} s.", "{gpu} 已有 {reading_age} 秒没有响应。"],
    remedy: [
      "Look for it in `nvidia-smi` and `dmesg`; reboot when it does not answer there either.",
      "在 `nvidia-smi` 和 `dmesg` 中查找它；若那里也没有响应，请重启。",
    ],
  },
  xid_fatal: {
    title: "致命 Xid",
    summary: ["{gpu}: {health}.", "{gpu}：{health}。"],
    remedy: ["{health_action} It is not offered any more.", "{health_action} 它不再被分配。"],
  },
  xid_application: {
    title: "程序非法访问",
    summary: [
      "A program on {gpu} failed by a fault of its own: {xid_application}",
      "{gpu} 上的程序因自身错误而失败：{xid_application}",
    ],
    remedy: [
      "Run it under compute-sanitizer; suspect the GPU when it happens only here.",
      "用 compute-sanitizer 运行它；如果只在这里发生，再怀疑 GPU。",
    ],
  },
  recovery_action: {
    title: "驱动要求处理",
    summary: ["{gpu}: {health}.", "{gpu}：{health}。"],
    remedy: ["{health_action}", "{health_action}"],
  },
  ecc_uncorrected: {
    title: "不可纠正的显存错误",
    summary: [
      "{ecc_uncorrected_new} uncorrectable memory errors on {gpu}: results may be wrong.",
      "{gpu} 上有 {ecc_uncorrected_new} 个不可纠正的显存错误：结果可能不正确。",
    ],
    remedy: ["Reset it when it is idle; replace it if they return.", "空闲时将其复位；若再次出现，请更换。"],
  },
  repair_pending: {
    title: "显存修复待完成",
    summary: ["A repair of the memory of {gpu} waits for a reset.", "{gpu} 的显存修复在等待复位。"],
    remedy: ["Reset it when it is idle; work can go on until then.", "空闲时将其复位；在此之前可以继续工作。"],
  },
  repair_failed: {
    title: "显存修复失败",
    summary: ["The memory of {gpu} could not be repaired.", "{gpu} 的显存无法修复。"],
    remedy: ["Run NVIDIA's field diagnostic and replace the board.", "运行 NVIDIA 的现场诊断工具并更换该卡。"],
  },
  near_slowdown: {
    title: "接近过热",
    summary: [
      "{gpu} is at {temperature_gpu} °C and slows down at {temperature_slowdown} °C.",
      "{gpu} 的温度为 {temperature_gpu} °C，到 {temperature_slowdown} °C 会降速。",
    ],
    remedy: ["Check fans, dust and the air that it gets.", "检查风扇、灰尘和进风。"],
  },
  thermal_throttle: {
    title: "因过热降速",
    summary: [
      "{gpu} was slowed down for heat in {hw_thermal_percent} % of 5 min, at {temperature_gpu} °C.",
      "{gpu} 在 5 分钟内有 {hw_thermal_percent} % 的时间因过热降速，温度 {temperature_gpu} °C。",
    ],
    remedy: ["Improve its cooling: fans, dust, air.", "改善散热：风扇、灰尘、进风。"],
  },
  thermal_throttle_soft: {
    title: "驱动因温度降速",
    summary: [
      "The driver slowed {gpu} down for heat in {sw_thermal_percent} % of 30 min.",
      "驱动在 30 分钟内有 {sw_thermal_percent} % 的时间因温度让 {gpu} 降速。",
    ],
    remedy: ["Improve its cooling: fans, dust, air.", "改善散热：风扇、灰尘、进风。"],
  },
  power_brake: {
    title: "外部功率制动",
    summary: [
      "A power brake slowed {gpu} down in {power_brake_percent} % of 5 min.",
      "外部功率制动在 5 分钟内有 {power_brake_percent} % 的时间让 {gpu} 降速。",
    ],
    remedy: ["Check the power supply, its cables and the rack.", "检查电源、线缆和机架。"],
  },
  power_cap: {
    title: "功率上限被调低",
    summary: [
      "{gpu} runs against its limit of {power_limit} W, of {power_limit_default} W.",
      "{gpu} 触及 {power_limit} W 的上限（出厂为 {power_limit_default} W）。",
    ],
    remedy: [
      "Raise the limit with `nvidia-smi -pl` if that is not meant.",
      "如果并非有意，用 `nvidia-smi -pl` 调高上限。",
    ],
  },
  fan_stands: {
    title: "风扇停转",
    summary: [
      "The fan of {gpu} reads 0 % at {temperature_gpu} °C.",
      "{gpu} 的风扇读数为 0 %，温度 {temperature_gpu} °C。",
    ],
    remedy: ["Check the fan; 0 % is normal only while it is cool.", "检查风扇；只有温度低时 0 % 才正常。"],
  },
  pcie_width: {
    title: "PCIe 链路变窄",
    summary: [
      "{gpu} runs at x{pcie_width} of x{pcie_width_best}.",
      "{gpu} 运行在 x{pcie_width}，本可为 x{pcie_width_best}。",
    ],
    remedy: ["Reseat the board; check the riser.", "重新插好显卡；检查转接线。"],
  },
  pcie_generation: {
    title: "PCIe 链路变慢",
    summary: [
      "{gpu} runs at PCIe generation {pcie_generation} of {pcie_generation_best}.",
      "{gpu} 运行在 PCIe {pcie_generation} 代，本可为 {pcie_generation_best} 代。",
    ],
    remedy: ["Reseat the board; check riser and firmware.", "重新插好显卡；检查转接线和固件。"],
  },
  power_limit_changed: {
    title: "功率上限被更改",
    summary: [
      "The power limit of {gpu} was changed from {power_limit_previous} to {power_limit} W.",
      "{gpu} 的功率上限从 {power_limit_previous} 改为 {power_limit} W。",
    ],
    remedy: [
      "`nvidia-smi -pl {power_limit_previous}` restores it.",
      "用 `nvidia-smi -pl {power_limit_previous}` 可恢复。",
    ],
  },
  foreign_memory: {
    title: "空闲 GPU 上有外来程序",
    summary: [
      "{foreign_memory} MB of {gpu} are held by a program that is not of this service.",
      "{gpu} 的 {foreign_memory} MB 显存被不属于本服务的程序占用。",
    ],
    remedy: ["End it, or register it with POST /gpu/tasks.", "结束它，或用 POST /gpu/tasks 登记它。"],
  },
  foreign_memory_blocks: {
    title: "外来程序让队列等待",
    summary: [
      "{foreign_memory} MB of {gpu} are held by a foreign program while trainings wait.",
      "有训练在等待，而 {gpu} 的 {foreign_memory} MB 显存被外来程序占用。",
    ],
    remedy: ["End it, or register it with POST /gpu/tasks.", "结束它，或用 POST /gpu/tasks 登记它。"],
  },
  foreign_leak: {
    title: "外来程序不断增长",
    summary: [
      "A foreign program on {gpu} grows by {foreign_growth} % an hour and more.",
      "{gpu} 上的外来程序每小时至少增长 {foreign_growth} %。",
    ],
    remedy: ["Look whether it leaks memory.", "查看它是否泄漏内存。"],
  },
  idle_while_leased: {
    title: "占着 GPU 却空闲",
    summary: [
      "{task} does nothing on its {gpus} GPUs: {gpu_utilization_max} %.",
      "{task} 占有 {gpus} 个 GPU 却几乎不工作：{gpu_utilization_max} %。",
    ],
    remedy: ["It may wait for data: look at its log.", "它可能在等数据：请看它的日志。"],
  },
  training_hung: {
    title: "任务卡住",
    summary: ["{task}: {warning}", "{task}：{warning}"],
    remedy: [
      "Stop it with a checkpoint, or wait; its log has the last lines.",
      "保存检查点后停止，或继续等待；日志里有最后的输出。",
    ],
  },
  training_failed: {
    title: "任务失败",
    summary: ["{task} failed: {cause}", "{task} 失败：{cause}"],
    remedy: ["{cause_remedy}", "{cause_remedy}"],
  },
  training_finished: {
    title: "任务完成",
    summary: ["{task} has completed: {steps} steps, loss {loss}.", "{task} 已完成：{steps} 步，损失 {loss}。"],
    remedy: ["Its files are under /training/{task_id}/artifacts.", "它的文件在 /training/{task_id}/artifacts。"],
  },
  retry_storm: {
    title: "没有进展",
    summary: [
      "{task} is at its attempt {attempts}, and {attempts_without_checkpoint} made no new checkpoint.",
      "{task} 已是第 {attempts} 次尝试，其中 {attempts_without_checkpoint} 次没有新的检查点。",
    ],
    remedy: ["Stop it and read the causes in its attempts.", "停止它，并查看各次尝试的原因。"],
  },
  loss_nan: {
    title: "损失不是数字",
    summary: ["The loss of {task} is NaN: {warning}", "{task} 的损失为 NaN：{warning}"],
    remedy: [
      "Stop it, lower the learning rate, resume from a checkpoint of before.",
      "停止它，降低学习率，从之前的检查点继续。",
    ],
  },
  loss_spike: {
    title: "损失突增",
    summary: ["The loss of {task} jumped to {loss}.", "{task} 的损失突增到 {loss}。"],
    remedy: ["Lower the learning rate if it stays.", "如果一直如此，请降低学习率。"],
  },
  loss_plateau: {
    title: "损失不再下降",
    summary: [
      "The smoothed loss of {task} has not fallen for {loss_flat_percent} % of its steps; it is at {loss}.",
      "{task} 的平滑损失在其 {loss_flat_percent} % 的步数内没有下降；现为 {loss}。",
    ],
    remedy: [
      "It may be done: compare what it makes. The loss of diffusion models is noisy; an eval loss tells more.",
      "它可能已训练好：比较它生成的结果。扩散模型的损失噪声大；评估损失更能说明问题。",
    ],
  },
  log_grows: {
    title: "日志增长过快",
    summary: [
      "{task} writes {log_growth} GiB an hour into its log: its oldest lines will go.",
      "{task} 每小时向日志写入 {log_growth} GiB：最早的行将被丢弃。",
    ],
    remedy: ["Look what it prints; LOG_MAX_BYTES bounds it.", "查看它输出了什么；LOG_MAX_BYTES 限制日志大小。"],
  },
  log_full: {
    title: "日志已满",
    summary: [
      "The log of {task} has reached LOG_MAX_BYTES: its oldest lines are gone.",
      "{task} 的日志已达 LOG_MAX_BYTES：最早的行已被丢弃。",
    ],
    remedy: ["Raise LOG_MAX_BYTES if they are needed.", "如果需要它们，请调高 LOG_MAX_BYTES。"],
  },
  eta_slips: {
    title: "耗时变长",
    summary: [
      "{task} will take {eta_slip} times as long as it first looked.",
      "{task} 将需要最初估计的 {eta_slip} 倍时间。",
    ],
    remedy: [
      "Compare its time a step with before: data, heat, another program.",
      "与之前的每步时间比较：数据、温度、其他程序。",
    ],
  },
  no_checkpoint: {
    title: "长时间没有检查点",
    summary: [
      "{task} has made no checkpoint for {checkpoint_age} s: so much work would be lost.",
      "{task} 已有 {checkpoint_age} 秒没有检查点：中断会丢失这些工作。",
    ],
    remedy: ["POST /training/{task_id}/save asks it for one.", "POST /training/{task_id}/save 可让它保存一个。"],
  },
  queue_waits: {
    title: "有空闲 GPU 却在等待",
    summary: [
      "{task} has waited {queued_seconds} s although a GPU is available.",
      "{task} 已等待 {queued_seconds} 秒，尽管有可用的 GPU。",
    ],
    remedy: ["Its waiting_reason says for what.", "它的 waiting_reason 说明在等什么。"],
  },
  queue_stuck: {
    title: "有空闲 GPU 却没有任务开始",
    summary: [
      "{first} is first in line and has not started for {stuck_seconds} s, although the GPUs that it asks for are available.",
      "{first} 排在最前，所需 GPU 可用，却已 {stuck_seconds} 秒没有开始。",
    ],
    remedy: [
      "Its waiting_reason says for what; GET /training?status=queued lists the queue.",
      "它的 waiting_reason 说明在等什么；GET /training?status=queued 列出队列。",
    ],
  },
  queue_held: {
    title: "长时间被保留",
    summary: ["{hold}, for {hold_seconds} s now.", "{hold}，已持续 {hold_seconds} 秒。"],
    remedy: [
      "End it if it is not needed any more; GET /system/holds lists all holds.",
      "如不再需要，请结束它；GET /system/holds 列出所有保留。",
    ],
  },
  disk_forecast: {
    title: "磁盘将满",
    summary: [
      "{disk} is full in {hours_to_full_1h} h at this pace; {free_gb} GB are free.",
      "按此速度，{disk} 将在 {hours_to_full_1h} 小时后写满；剩余 {free_gb} GB。",
    ],
    remedy: ["Delete trainings or checkpoints that are not needed.", "删除不需要的训练或检查点。"],
  },
  disk_low: {
    title: "磁盘快满了",
    summary: [
      "{disk} has {free_gb} GB left ({free_percent} %): the next checkpoint may not fit.",
      "{disk} 只剩 {free_gb} GB（{free_percent} %）：下一个检查点可能放不下。",
    ],
    remedy: ["Delete trainings or checkpoints that are not needed.", "删除不需要的训练或检查点。"],
  },
  database_away: {
    title: "数据库无响应",
    summary: [
      "The database has not answered {node} for {database_away_seconds} s: {database_problem}",
      "数据库已有 {database_away_seconds} 秒没有响应 {node}：{database_problem}",
    ],
    remedy: [
      "Look at the database; trainings go on, and nothing new starts.",
      "请检查数据库；训练会继续，但不会开始新的。",
    ],
  },
  restarted: {
    title: "服务意外重启",
    summary: [
      "The service on {node} came back without having been ended.",
      "{node} 上的服务未经正常结束就重新启动了。",
    ],
    remedy: ["Look into its log for why; trainings go on.", "在它的日志中查找原因；训练会继续。"],
  },
  node_offline: {
    title: "机器无响应",
    summary: ["{node} has given no sign of life for {silent_seconds} s.", "{node} 已有 {silent_seconds} 秒没有动静。"],
    remedy: ["Look whether the machine and its service run.", "查看机器及其服务是否在运行。"],
  },
  quota_near: {
    title: "配额即将用尽",
    summary: ["{user} has used {quota_percent} % of a quota.", "{user} 已用去某项配额的 {quota_percent} %。"],
    remedy: ["Wait, delete files, or ask an administrator for more.", "请等待、删除文件，或向管理员申请更多。"],
  },
  quota_used: {
    title: "配额已用尽",
    summary: ["{user} has used up a quota: what they start waits.", "{user} 的一项配额已用尽：之后启动的任务会等待。"],
    remedy: ["Wait, delete files, or ask an administrator for more.", "请等待、删除文件，或向管理员申请更多。"],
  },
  key_expires: {
    title: "密钥即将过期",
    summary: ["The key {key} of {user} ends in {days_left} d.", "{user} 的密钥 {key} 将在 {days_left} 天后到期。"],
    remedy: ["Make a new one: POST /auth/keys/{key}/rotate.", "请创建新的：POST /auth/keys/{key}/rotate。"],
  },
  clock_off: {
    title: "时钟不准",
    summary: ["The clock of {node} is off by {clock_offset} s.", "{node} 的时钟偏差 {clock_offset} 秒。"],
    remedy: ["Start chrony or another NTP client.", "启动 chrony 或其他 NTP 客户端。"],
  },
  action_failed: {
    title: "规则的动作失败",
    summary: [
      "{action} for {about}, by the rule {rule_id}, failed: {why}",
      "按规则 {rule_id} 对 {about} 执行的 {action} 失败：{why}",
    ],
    remedy: [
      "Do by hand what is needed; GET /alerts/{alert_id} has the alert.",
      "请手动完成所需的操作；GET /alerts/{alert_id} 有该告警。",
    ],
  },
  machine_idle: {
    title: "机器空闲",
    summary: ["Nothing runs or waits on {node}.", "{node} 上没有任务在运行或等待。"],
    remedy: ["Switch it off if it costs money while it does nothing.", "如果闲置也要花钱，请关机。"],
  },
  certificate_ends: {
    title: "证书即将到期",
    summary: [
      "The certificate by which {node} is reached ends in {certificate_days_left} d.",
      "访问 {node} 所用的证书将在 {certificate_days_left} 天后到期。",
    ],
    remedy: ["Renew it, and have the proxy load it.", "续期，并让代理重新加载。"],
  },
  delivery_broken: {
    title: "告警送不出去",
    summary: ["{channel} fails: {last_error}", "{channel} 失败：{last_error}"],
    remedy: [
      "Look at GET /alerts/deliveries; try the channel with POST /alerts/channels/{channel_id}/test.",
      "查看 GET /alerts/deliveries；用 POST /alerts/channels/{channel_id}/test 试一下该渠道。",
    ],
  },
};
