// Chinese titles and sentences of built-in rules, with the English sentences that they translate.

/** `resolved` is the sentence for the end of the alert; events have none. @type {Record<string, {title: string, summary: [english: string, chinese: string], remedy: [english: string, chinese: string], resolved?: [english: string, chinese: string]}>} */
export const rules = {
  gpu_lost: {
    title: "GPU 丢失",
    summary: ["{gpu} is no longer on the PCIe bus.", "{gpu} 已从 PCIe 总线上消失。"],
    remedy: [
      "Reboot the machine. If it happens again, check the card's power and seating.",
      "请重启机器；若再次发生，检查供电和插槽接触。",
    ],
    resolved: ["{gpu} is back", "{gpu} 已恢复"],
  },
  driver_unreadable: {
    title: "驱动无法读取",
    summary: ["No GPU of {node} can be read: {source_problem}", "{node} 上的 GPU 全部无法读取：{source_problem}"],
    remedy: [
      "Check `dmesg` and `nvidia-smi`, then reload the driver or reboot.",
      "查看 `dmesg` 和 `nvidia-smi`，然后重新加载驱动或重启。",
    ],
    resolved: ["The GPUs of {node} can be read again", "{node} 上的 GPU 又能读取了"],
  },
  gpu_unreadable: {
    title: "GPU 无法读取",
    summary: ["{gpu} has not answered for {reading_age:seconds}.", "{gpu} 已有 {reading_age:seconds} 没有响应。"],
    remedy: [
      "Check `nvidia-smi` and `dmesg`. Reboot if the GPU does not answer there either.",
      "查看 `nvidia-smi` 和 `dmesg`；若 GPU 在那里也没有响应，请重启。",
    ],
    resolved: ["{gpu} answers again", "{gpu} 恢复响应"],
  },
  xid_fatal: {
    title: "GPU 致命错误（Xid）",
    summary: ["{gpu} has a fatal error: {health}.", "{gpu} 发生致命错误：{health}。"],
    remedy: [
      "{health_action} Until then no training is started on this GPU.",
      "{health_action} 在此之前不会在这块 GPU 上开始训练。",
    ],
    resolved: ["{gpu} has recovered from its fatal error", "{gpu} 已从致命错误中恢复"],
  },
  xid_application: {
    title: "GPU 上的程序出错",
    summary: [
      "A program on {gpu} failed with an error of its own: {xid_application}.",
      "{gpu} 上的程序因自身错误而失败：{xid_application}。",
    ],
    remedy: [
      "Run the program under compute-sanitizer. Suspect the GPU only if it fails on no other.",
      "用 compute-sanitizer 运行该程序；只有在其他 GPU 上都正常时才怀疑硬件。",
    ],
  },
  recovery_action: {
    title: "GPU 需要恢复操作",
    summary: ["{gpu} needs attention: {health}.", "{gpu} 需要处理：{health}。"],
    remedy: ["{health_action}", "{health_action}"],
    resolved: ["{gpu} needs no recovery action any more", "{gpu} 不再需要恢复操作"],
  },
  ecc_uncorrected: {
    title: "不可纠正的显存错误",
    summary: [
      "{gpu} has {ecc_uncorrected_new} new uncorrectable memory errors: results may be wrong.",
      "{gpu} 新增 {ecc_uncorrected_new} 个不可纠正的显存错误：结果可能不正确。",
    ],
    remedy: [
      "Reset the GPU when it is idle. Replace it if the errors return.",
      "空闲时复位该 GPU；若错误再次出现，请更换。",
    ],
    resolved: ["{gpu} has no new memory errors", "{gpu} 没有新的显存错误"],
  },
  repair_pending: {
    title: "显存修复需要复位",
    summary: ["{gpu} needs a reset to finish a memory repair.", "{gpu} 需要复位才能完成显存修复。"],
    remedy: [
      "Reset the GPU when it is idle. Trainings can continue until then.",
      "空闲时复位该 GPU；在此之前训练可以继续。",
    ],
    resolved: ["{gpu} has finished its memory repair", "{gpu} 的显存修复已完成"],
  },
  repair_failed: {
    title: "显存修复失败",
    summary: ["The memory of {gpu} could not be repaired.", "{gpu} 的显存无法修复。"],
    remedy: ["Run NVIDIA's field diagnostic and replace the card.", "运行 NVIDIA 的现场诊断工具并更换该卡。"],
    resolved: ["The memory of {gpu} is repaired", "{gpu} 的显存已修复"],
  },
  near_slowdown: {
    title: "GPU 过热",
    summary: [
      "{gpu} is too hot: {temperature_gpu} °C. It slows down at {temperature_slowdown} °C.",
      "{gpu} 过热：{temperature_gpu} °C。到 {temperature_slowdown} °C 会降速。",
    ],
    remedy: ["Check the fans, the dust and the airflow.", "检查风扇、灰尘和风道。"],
    resolved: ["{gpu} is cool again", "{gpu} 已降温"],
  },
  thermal_throttle: {
    title: "GPU 因过热降速",
    summary: [
      "{gpu} was slowed down by heat for {hw_thermal_percent} % of the last 5 minutes, at {temperature_gpu} °C.",
      "{gpu} 在最近 5 分钟内有 {hw_thermal_percent} % 的时间因过热降速，温度 {temperature_gpu} °C。",
    ],
    remedy: ["Improve the cooling: check the fans, the dust and the airflow.", "改善散热：检查风扇、灰尘和风道。"],
    resolved: ["{gpu} is no longer slowed down by heat", "{gpu} 不再因过热降速"],
  },
  thermal_throttle_soft: {
    title: "驱动因过热降速",
    summary: [
      "The driver slowed {gpu} down for heat for {sw_thermal_percent} % of the last 30 minutes.",
      "驱动在最近 30 分钟内有 {sw_thermal_percent} % 的时间因过热对 {gpu} 降速。",
    ],
    remedy: ["Improve the cooling: check the fans, the dust and the airflow.", "改善散热：检查风扇、灰尘和风道。"],
    resolved: ["The driver no longer slows {gpu} down for heat", "驱动不再因过热对 {gpu} 降速"],
  },
  power_brake: {
    title: "供电制动",
    summary: [
      "A power brake slowed {gpu} down for {power_brake_percent} % of the last 5 minutes.",
      "最近 5 分钟内有 {power_brake_percent} % 的时间 {gpu} 被供电制动降速。",
    ],
    remedy: ["Check the power supply, its cables and the rack's power.", "检查电源、线缆和机架供电。"],
    resolved: ["{gpu} is no longer slowed down by a power brake", "{gpu} 不再被供电制动降速"],
  },
  power_cap: {
    title: "功率上限被调低",
    summary: [
      "{gpu} is held back by a power limit of {power_limit} W; its default is {power_limit_default} W.",
      "{gpu} 受功率上限 {power_limit} W 限制；默认为 {power_limit_default} W。",
    ],
    remedy: ["Raise the limit with `nvidia-smi -pl` unless it is intended.", "若非有意，请用 `nvidia-smi -pl` 调高。"],
    resolved: ["{gpu} is no longer held back by its power limit", "{gpu} 不再受功率上限限制"],
  },
  fan_stands: {
    title: "GPU 风扇停转",
    summary: [
      "The fan of {gpu} is at 0 % at {temperature_gpu} °C.",
      "{gpu} 的风扇读数为 0 %，温度 {temperature_gpu} °C。",
    ],
    remedy: ["Check the fan: it should stop only while the GPU is cool.", "检查风扇：只有 GPU 温度低时停转才正常。"],
    resolved: ["The fan of {gpu} turns again", "{gpu} 的风扇恢复转动"],
  },
  pcie_width: {
    title: "PCIe 链路变窄",
    summary: [
      "{gpu} uses {pcie_width} of {pcie_width_best} PCIe lanes.",
      "{gpu} 只使用 {pcie_width_best} 条 PCIe 通道中的 {pcie_width} 条。",
    ],
    remedy: ["Reseat the card and check the riser.", "重新插拔该卡并检查转接线。"],
    resolved: ["{gpu} uses all its PCIe lanes again", "{gpu} 恢复使用全部 PCIe 通道"],
  },
  pcie_generation: {
    title: "PCIe 链路变慢",
    summary: [
      "{gpu} runs at PCIe generation {pcie_generation} instead of {pcie_generation_best}.",
      "{gpu} 以第 {pcie_generation} 代 PCIe 运行，而不是第 {pcie_generation_best} 代。",
    ],
    remedy: ["Reseat the card and check the riser and the firmware.", "重新插拔该卡，检查转接线和固件。"],
    resolved: ["{gpu} runs at its full PCIe generation again", "{gpu} 的 PCIe 恢复全速"],
  },
  power_limit_changed: {
    title: "功率上限已更改",
    summary: [
      "The power limit of {gpu} was changed from {power_limit_previous} W to {power_limit} W.",
      "{gpu} 的功率上限由 {power_limit_previous} W 改为 {power_limit} W。",
    ],
    remedy: [
      "To restore it, run `nvidia-smi -pl {power_limit_previous}`.",
      "恢复：运行 `nvidia-smi -pl {power_limit_previous}`。",
    ],
  },
  foreign_memory: {
    title: "空闲 GPU 上有其他程序",
    summary: [
      "A program outside this service holds {foreign_memory} MB of {gpu}.",
      "本服务之外的程序占用了 {gpu} 的 {foreign_memory} MB 显存。",
    ],
    remedy: ["Stop it, or register it with POST /gpu/tasks.", "结束它，或用 POST /gpu/tasks 登记它。"],
    resolved: ["{gpu} is free of other programs again", "{gpu} 上已没有其他程序"],
  },
  foreign_memory_blocks: {
    title: "其他程序阻塞队列",
    summary: [
      "Trainings wait while a program outside this service holds {foreign_memory} MB of {gpu}.",
      "本服务之外的程序占用 {gpu} 的 {foreign_memory} MB 显存，有训练在等待。",
    ],
    remedy: ["Stop it, or register it with POST /gpu/tasks.", "结束它，或用 POST /gpu/tasks 登记它。"],
    resolved: ["{gpu} is free for trainings again", "{gpu} 又可用于训练"],
  },
  foreign_leak: {
    title: "其他程序显存增长",
    summary: [
      "A program outside this service on {gpu} grows by at least {foreign_growth} % an hour.",
      "{gpu} 上本服务之外的程序每小时至少增长 {foreign_growth} %。",
    ],
    remedy: ["Check it for a memory leak.", "检查它是否泄漏内存。"],
    resolved: ["The other program on {gpu} no longer grows", "{gpu} 上的其他程序不再增长"],
  },
  idle_while_leased: {
    title: "占着 GPU 却空闲",
    summary: [
      "{task} holds {gpus} GPUs but uses only {gpu_utilization_max} % of them.",
      "{task} 占有 {gpus} 块 GPU，利用率只有 {gpu_utilization_max} %。",
    ],
    remedy: ["Read its log: it may be waiting for data.", "查看它的日志：它可能在等数据。"],
    resolved: ["{task} uses its GPUs again", "{task} 恢复使用 GPU"],
  },
  training_hung: {
    title: "训练卡住",
    summary: ["{task} seems to hang{at_step}: {hang}.", "{task} 似乎卡住了{at_step}：{hang}。"],
    remedy: [
      "Read the end of its log, then stop it with a checkpoint or wait.",
      "查看日志末尾，然后保存检查点后停止，或继续等待。",
    ],
    resolved: ["{task} makes progress again", "{task} 恢复进展"],
  },
  training_failed: {
    title: "训练失败",
    summary: ["{task} failed{at_step}: {cause}.", "{task} 失败{at_step}：{cause}。"],
    remedy: ["{cause_remedy}", "{cause_remedy}"],
  },
  training_finished: {
    title: "训练完成",
    summary: ["{task} finished: {steps} steps, loss {loss}.", "{task} 已完成：{steps} 步，损失 {loss}。"],
    remedy: ["Its files are on its page under Files.", "它的文件在其页面的“文件”下。"],
  },
  retry_storm: {
    title: "反复重试没有进展",
    summary: [
      "{task} is at attempt {attempts}, and the last {attempts_without_checkpoint} saved no checkpoint.",
      "{task} 已是第 {attempts} 次尝试，最近 {attempts_without_checkpoint} 次都没有保存检查点。",
    ],
    remedy: ["Stop it and read why its attempts failed.", "停止它，并查看各次尝试失败的原因。"],
    resolved: ["{task} saves checkpoints again", "{task} 又保存了检查点"],
  },
  loss_nan: {
    title: "损失为 NaN",
    summary: ["The loss of {task} is NaN{at_step}.", "{task} 的损失为 NaN{at_step}。"],
    remedy: [
      "Stop it, lower the learning rate and resume from an earlier checkpoint.",
      "停止它，降低学习率，从更早的检查点继续。",
    ],
    resolved: ["The loss of {task} is a number again", "{task} 的损失恢复为数字"],
  },
  loss_spike: {
    title: "损失突增",
    summary: ["The loss of {task} jumped to {loss}.", "{task} 的损失突增到 {loss}。"],
    remedy: ["Lower the learning rate if it stays high.", "如果一直偏高，请降低学习率。"],
    resolved: ["The loss of {task} is back to normal", "{task} 的损失恢复正常"],
  },
  eta_slips: {
    title: "训练耗时变长",
    summary: [
      "{task} will take {eta_slip} times as long as first estimated.",
      "{task} 将需要最初估计的 {eta_slip} 倍时间。",
    ],
    remedy: [
      "Compare its time per step with before. Data loading, heat or another program may slow it down.",
      "与之前的每步时间比较；数据加载、温度或其他程序可能拖慢它。",
    ],
    resolved: ["{task} is back to its estimated time", "{task} 恢复到估计时间"],
  },
  no_checkpoint: {
    title: "长时间没有检查点",
    summary: [
      "{task} has saved no checkpoint for {checkpoint_age:seconds}; a crash would lose that work.",
      "{task} 已有 {checkpoint_age:seconds} 没有保存检查点；崩溃会丢失这些工作。",
    ],
    remedy: ["Request one with POST /training/{task_id}/save.", "用 POST /training/{task_id}/save 让它保存一个。"],
    resolved: ["{task} has saved a checkpoint", "{task} 已保存检查点"],
  },
  queue_waits: {
    title: "有空闲 GPU 却在等待",
    summary: [
      "{task} has waited for {queued_seconds:seconds} although a GPU is free.",
      "{task} 已等待 {queued_seconds:seconds}，尽管有空闲的 GPU。",
    ],
    remedy: ["Read the training's waiting_reason.", "查看该训练的 waiting_reason。"],
    resolved: ["{task} no longer waits", "{task} 不再等待"],
  },
  queue_stuck: {
    title: "队列停滞",
    summary: [
      "{first} is first in the queue but has not started for {stuck_seconds:seconds}, although the GPUs it needs are free.",
      "{first} 排在最前，所需 GPU 空闲，却已 {stuck_seconds:seconds} 没有开始。",
    ],
    remedy: [
      "Read its waiting_reason; GET /training?status=queued lists the queue.",
      "查看它的 waiting_reason；GET /training?status=queued 列出队列。",
    ],
    resolved: ["The queue moves again", "队列恢复推进"],
  },
  queue_held: {
    title: "长时间暂停",
    summary: ["{hold}, for {hold_seconds:seconds} now.", "{hold}，已持续 {hold_seconds:seconds}。"],
    remedy: [
      "End the hold if it is no longer needed; GET /system/holds lists all holds.",
      "如不再需要，请结束暂停；GET /system/holds 列出所有暂停。",
    ],
    resolved: ["The hold has ended", "暂停已结束"],
  },
  disk_forecast: {
    title: "磁盘将满",
    summary: [
      "{disk} will be full in {hours_to_full_1h:hours} at this pace; {free_gb} GB are free.",
      "按此速度，{disk} 将在 {hours_to_full_1h:hours} 后写满；剩余 {free_gb} GB。",
    ],
    remedy: ["Delete trainings or checkpoints that you no longer need.", "删除不再需要的训练或检查点。"],
    resolved: ["{disk} no longer fills up", "{disk} 不再快速写满"],
  },
  disk_low: {
    title: "磁盘快满了",
    summary: [
      "{disk} has only {free_gb} GB left ({free_percent} %); the next checkpoint may not fit.",
      "{disk} 只剩 {free_gb} GB（{free_percent} %）；下一个检查点可能放不下。",
    ],
    remedy: ["Delete trainings or checkpoints that you no longer need.", "删除不再需要的训练或检查点。"],
    resolved: ["{disk} has enough space again", "{disk} 空间恢复充足"],
  },
  database_away: {
    title: "数据库无法访问",
    summary: [
      "{node} has not reached the database for {database_away_seconds:seconds}: {database_problem}",
      "{node} 已有 {database_away_seconds:seconds} 无法访问数据库：{database_problem}",
    ],
    remedy: [
      "Check the database. Running trainings continue, but no new training starts.",
      "检查数据库；正在运行的训练会继续，但不会开始新的。",
    ],
    resolved: ["{node} reaches the database again", "{node} 又能访问数据库"],
  },
  restarted: {
    title: "服务意外重启",
    summary: [
      "The service on {node} restarted after it had ended unexpectedly.",
      "{node} 上的服务意外结束后重新启动了。",
    ],
    remedy: [
      "Read its log to find out why. Running trainings were not affected.",
      "查看它的日志找出原因；正在运行的训练没有中断。",
    ],
  },
  node_offline: {
    title: "机器离线",
    summary: [
      "{node} has been silent for {silent_seconds:seconds}.",
      "{node} 已有 {silent_seconds:seconds} 没有消息。",
    ],
    remedy: ["Check that the machine and its service are running.", "检查机器及其服务是否在运行。"],
    resolved: ["{node} is online again", "{node} 已重新上线"],
  },
  quota_near: {
    title: "配额即将用尽",
    summary: ["{user} has used {quota_percent} % of a quota.", "{user} 已用去某项配额的 {quota_percent} %。"],
    remedy: [
      "Wait, delete files, or ask an administrator for a larger quota.",
      "等待、删除文件，或向管理员申请更大的配额。",
    ],
    resolved: ["{user} has quota left again", "{user} 的配额恢复充足"],
  },
  quota_used: {
    title: "配额已用尽",
    summary: [
      "{user} has used up a quota; new trainings of this user wait.",
      "{user} 的一项配额已用尽；该用户新的训练会等待。",
    ],
    remedy: [
      "Wait, delete files, or ask an administrator for a larger quota.",
      "等待、删除文件，或向管理员申请更大的配额。",
    ],
    resolved: ["{user} has quota left again", "{user} 的配额恢复充足"],
  },
  key_expires: {
    title: "密钥即将过期",
    summary: [
      "The key {key} of {user} expires in {days_left:days}.",
      "{user} 的密钥 {key} 将在 {days_left:days} 后过期。",
    ],
    remedy: ["Replace it with POST /auth/keys/{key}/rotate.", "用 POST /auth/keys/{key}/rotate 更换它。"],
  },
  clock_off: {
    title: "时钟不准",
    summary: ["The clock of {node} is wrong by {clock_offset} s.", "{node} 的时钟偏差 {clock_offset} 秒。"],
    remedy: ["Start chrony or another NTP client.", "启动 chrony 或其他 NTP 客户端。"],
    resolved: ["The clock of {node} is correct again", "{node} 的时钟恢复准确"],
  },
  action_failed: {
    title: "规则的动作失败",
    summary: [
      "The action {action} for {about}, by the rule {rule_id}, failed: {why}",
      "按规则 {rule_id} 对 {about} 执行的动作 {action} 失败：{why}",
    ],
    remedy: [
      "Do it manually; GET /alerts/{alert_id} shows the alert.",
      "请手动完成；GET /alerts/{alert_id} 显示该告警。",
    ],
  },
  machine_idle: {
    title: "机器空闲",
    summary: ["{node} is idle: no training runs or waits.", "{node} 空闲：没有训练在运行或等待。"],
    remedy: ["Switch it off if it costs money while idle.", "如果闲置也要花钱，请关机。"],
  },
  machine_ends: {
    title: "空闲机器即将结束",
    summary: [
      "{node} is idle, and WHEN_IDLE={idle_action} follows at {idle_ends_at}.",
      "{node} 空闲，将于 {idle_ends_at} 执行 WHEN_IDLE={idle_action}。",
    ],
    remedy: [
      "To prevent it, hold the machine on the page, or with POST /system/idle/hold.",
      "如需阻止，请在页面上保留机器，或使用 POST /system/idle/hold。",
    ],
    resolved: ["{node} is not about to end any more", "{node} 不再即将结束"],
  },
  machine_end_failed: {
    title: "空闲机器仍在运行",
    summary: ["{node} is idle but stays on: {idle_problem}", "{node} 空闲但仍在运行：{idle_problem}"],
    remedy: [
      "Try again on the page, or with DELETE /system/idle/hold.",
      "请在页面上重试，或使用 DELETE /system/idle/hold。",
    ],
    resolved: ["The problem that kept {node} on is over", "使 {node} 保持运行的问题已解决"],
  },
  tracker_failing: {
    title: "跟踪器收不到训练",
    summary: [
      "{node} cannot send everything to {trackers}: {tracker_problem}",
      "{node} 无法把全部内容发送到 {trackers}：{tracker_problem}",
    ],
    remedy: [
      "Check the tracker's address and key in the service's environment, and restart the service after a change. What is missing is sent as soon as the tracker accepts it.",
      "请检查服务环境中该跟踪器的地址和密钥，修改后重启服务。跟踪器恢复接收后，缺少的内容会补发。",
    ],
    resolved: ["The trackers of {node} refuse nothing any more", "{node} 的跟踪器不再拒绝任何内容"],
  },
  comfyui_gpus_unknown: {
    title: "COMFYUI_GPUS 中有未知的 GPU",
    summary: [
      "{node} has no GPU that COMFYUI_GPUS calls {comfyui_gpus}, so samples and trainings may share one.",
      "{node} 没有 COMFYUI_GPUS 所写的 {comfyui_gpus}，因此采样和训练可能共用一块 GPU。",
    ],
    remedy: [
      "Correct COMFYUI_GPUS: GET /gpu/status lists the index and UUID of each GPU. Then restart the service.",
      "请更正 COMFYUI_GPUS：GET /gpu/status 列出每块 GPU 的序号和 UUID。然后重启服务。",
    ],
    resolved: ["{node} has all GPUs that COMFYUI_GPUS names", "{node} 已有 COMFYUI_GPUS 中的全部 GPU"],
  },
  delivery_broken: {
    title: "告警送不出去",
    summary: ["{channel} does not deliver: {last_error}.", "{channel} 无法送达：{last_error}。"],
    remedy: [
      "Check its address, then try it with POST /alerts/channels/{channel_id}/test. GET /alerts/deliveries lists what failed.",
      "检查它的地址，再用 POST /alerts/channels/{channel_id}/test 试一下；GET /alerts/deliveries 列出失败的消息。",
    ],
    resolved: ["{channel} delivers again", "{channel} 恢复送达"],
  },
};
