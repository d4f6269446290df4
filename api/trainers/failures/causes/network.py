"""The network, the model hub and Weights & Biases."""

from api.domain.tasks.cause import CauseCode
from api.trainers.failures.known_cause import KnownCause

CAUSES = (
    KnownCause(
        "certificate",
        pattern=r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        cause=CauseCode.NETWORK,
        detail="the certificate of a server was not accepted",
        detail_zh="某个服务器的证书未被接受",
        remedy=(
            "if a proxy examines the traffic, set SSL_CERT_FILE and REQUESTS_CA_BUNDLE of the service to a "
            "file with its certificate; else run `pip install --upgrade certifi` with the trainer's Python and "
            "check the machine's clock; or download the model elsewhere and give its directory"
        ),
        remedy_zh=(
            "若有代理检查流量，请把服务的 SSL_CERT_FILE 和 REQUESTS_CA_BUNDLE 设为含其证书的文件；否则用训练器"
            "的 Python 运行 `pip install --upgrade certifi`，并检查机器的时钟；或在别处下载模型并给出其目录"
        ),
        examples=(
            "requests.exceptions.SSLError: (host='huggingface.co'): Max retries exceeded (CERTIFICATE_VERIFY_FAILED)",
            "urllib.error.URLError: <urlopen error certificate verify failed>",
        ),
    ),
    KnownCause(
        "proxy",
        pattern=r"ProxyError|407 Proxy|Tunnel connection failed",
        cause=CauseCode.NETWORK,
        detail="the proxy refused a connection, or it does not answer",
        detail_zh="代理拒绝了连接，或没有应答",
        remedy=(
            "correct or remove HTTPS_PROXY, HTTP_PROXY and ALL_PROXY of the service; or download the model "
            "elsewhere and give its directory"
        ),
        remedy_zh="更正或去掉服务的 HTTPS_PROXY、HTTP_PROXY 和 ALL_PROXY；或在别处下载模型并给出其目录",
        examples=(
            "httpx.ProxyError: 407 Proxy Authentication Required",
            "OSError: Tunnel connection failed: 503 Service Unavailable",
        ),
    ),
    KnownCause(
        "hub_refused",
        pattern=(
            r"GatedRepoError|[Gg]ated repo|\b40[13] Client Error"
            r"|Access to model .{1,200} is restricted|Invalid credentials"
        ),
        cause=CauseCode.MISSING_FILE,
        detail="the model hub denied access to a model",
        detail_zh="模型站拒绝提供某个模型",
        remedy=(
            "accept the model's licence on its page and set HF_TOKEN in `env`, or download it and give its "
            "directory; if the page does not exist, correct the name"
        ),
        remedy_zh=(
            "在模型页面接受许可，并在 `env` 中以 HF_TOKEN 提供令牌；或先下载并填写其目录；若该页面不存在，请改正名称"
        ),
        examples=(
            "huggingface_hub.errors.GatedRepoError: 403 Client Error.",
            "OSError: You are trying to access a gated repo.",
            "huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error. (Request ID: Root=1)",
            "OSError: Access to model black-forest-labs/FLUX.1-dev is restricted.",
            "ValueError: Invalid credentials in Authorization header",
        ),
    ),
    KnownCause(
        "hub_configuration",
        pattern=(
            r"LocalEntryNotFoundError|MaxRetryError|Max retries exceeded|couldn't connect to"
            r"|OfflineModeIsEnabled|^httpx\."
        ),
        within=r"in from_single_file$",
        cause=CauseCode.MISSING_FILE,
        detail="the configuration that belongs to a model's single file could not be downloaded",
        detail_zh="无法下载与单文件模型配套的配置",
        remedy=(
            "let the trainer reach the model hub (HTTPS_PROXY, or a mirror in HF_ENDPOINT of the service), or "
            "copy the hub's cache (~/.cache/huggingface) from a machine where this model type was loaded; the "
            "file itself was found"
        ),
        remedy_zh=(
            "让训练器能访问模型站（服务的 HTTPS_PROXY，或以 HF_ENDPOINT 设置镜像），或从加载过该类模型的机器复"
            "制缓存（~/.cache/huggingface）；模型文件本身已找到"
        ),
        examples=(
            (
                '  File "/t/x.py", line 9, in from_single_file\n'
                "huggingface_hub.errors.LocalEntryNotFoundError: An error happened. Please check your internet "
                "connection"
            ),
            (
                '  File "/t/train.py", line 9, in from_single_file\n'
                "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='hf-mirror.com', port=443): Max "
                "retries exceeded"
            ),
            (
                '  File "/t/train.py", line 9, in from_single_file\n'
                "urllib3.exceptions.MaxRetryError: (host='hf-mirror.com', port=443)"
            ),
            (
                '  File "/t/train.py", line 9, in from_single_file\n'
                "OSError: We couldn't connect to 'https://hf-mirror.com' to load the files"
            ),
            (
                '  File "/t/train.py", line 9, in from_single_file\n'
                "huggingface_hub.errors.OfflineModeIsEnabled: Cannot access file"
            ),
            '  File "/t/train.py", line 9, in from_single_file\nhttpx.ConnectError: All connection attempts failed',
        ),
    ),
    KnownCause(
        "hub_unreachable",
        pattern=(
            r"(?:MaxRetryError|NameResolutionError|Max retries exceeded|Cannot reach).{0,300}hugging"
            r"|couldn't connect to '"
            r"|LocalEntryNotFoundError.{0,300}(?:[Cc]onnection|outgoing traffic)|OfflineModeIsEnabled"
            r"|^httpx\.\w{0,40}(?:Connect|Timeout|Proxy)"
            r"|\b(?:5\d\d Server Error|[Tt]imed ?out).{0,300}hugging"
            r"|hugging.{0,300}(?:\b[Tt]imed out|Max retries exceeded)"
        ),
        cause=CauseCode.MISSING_FILE,
        detail="a model could not be downloaded",
        detail_zh="无法下载某个模型",
        remedy="download it on a machine with network access, and give its directory or file in the request",
        remedy_zh="在有网络的地方下载，然后在请求中填写其目录或文件",
        examples=(
            (
                '  File "/t/x.py", line 9, in __init__\n'
                "huggingface_hub.errors.LocalEntryNotFoundError: An error happened. Please check your internet "
                "connection"
            ),
            (
                '  File "/t/utils/dataset.py", line 9, in latents_map_fn\n'
                "OSError: We couldn't connect to 'https://hf-mirror.com' to load the files"
            ),
            (
                "requests.exceptions.HTTPError: 503 Server Error: Service Temporarily Unavailable for url: "
                "https://huggingface.co/x"
            ),
            (
                "requests.exceptions.SSLError: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries "
                "exceeded"
            ),
            (
                "requests.exceptions.ConnectionError: (MaxRetryError(\"HTTPSConnectionPool(host='huggingface.co', "
                'port=443)"))'
            ),
            "huggingface_hub.errors.OfflineModeIsEnabled: Cannot access file since 'local_files_only=True'",
            "httpx.ConnectTimeout: timed out",
        ),
    ),
    KnownCause(
        "token_broken",
        pattern=r"Illegal header value b?'Bearer|return character\(s\) in header value",
        remedy=(
            "the access token has a space or a line break in it: set HF_TOKEN in `env` again without it, or "
            "remove the file ~/.cache/huggingface/token"
        ),
        remedy_zh=(
            "访问令牌中含有空格或换行：请在 `env` 中重新设置不含它们的 HF_TOKEN，或删除文件 ~/.cache/huggingface/token"
        ),
        examples=(
            "httpx.LocalProtocolError: Illegal header value b'Bearer hf_abc\\n'",
            "requests.exceptions.InvalidHeader: Invalid leading whitespace or return character(s) in header value",
        ),
    ),
    KnownCause(
        "proxy_scheme",
        pattern=r"Unknown scheme for proxy URL",
        remedy=(
            "the proxy's address has a scheme that Python cannot use: set HTTPS_PROXY of the service to an "
            "http:// address, and remove ALL_PROXY"
        ),
        remedy_zh="代理地址的协议 Python 无法使用：请把服务的 HTTPS_PROXY 设为 http:// 地址，并去掉 ALL_PROXY",
        examples=("ValueError: Unknown scheme for proxy URL URL('socks://127.0.0.1:7890/')",),
    ),
    KnownCause(
        "wandb_key",
        pattern=(
            r"api_key not configured|wandb.*(?:log ?in|API key)|UsageError.*key|No API key"
            r"|API key (?:must (?:be|have)|verification|you provided)"
        ),
        remedy="set a valid wandb_api_key in [monitoring], or set enable_wandb = false",
        remedy_zh="在 [monitoring] 中给出有效的 wandb_api_key，或设置 enable_wandb = false",
        examples=(
            "wandb.errors.UsageError: api_key not configured (no-tty). call wandb.login(key=[your_api_key])",
            "ValueError: API key must be 40 characters long, yours was 12",
            "ValueError: API key must have 40+ characters, has 12.",
            "wandb.errors.AuthenticationError: No API key configured. Use `wandb login` to log in.",
        ),
    ),
    KnownCause(
        "wandb_unreachable",
        pattern=r"wandb.*(?:timed out|CommError|ConnectionError)",
        remedy=(
            "Weights & Biases did not answer or denied access: check the network and the key's project, or set "
            "enable_wandb = false"
        ),
        remedy_zh="Weights & Biases 没有应答或拒绝访问：请检查网络与该密钥的项目，或设置 enable_wandb = false",
        examples=("wandb.errors.errors.CommError: Run initialization has timed out after 90.0 sec.",),
    ),
    KnownCause(
        "hub_xet",
        pattern=r"CAS service|Data processing error|hf_xet",
        remedy=(
            "a download by Xet failed: resume; if it recurs, set HF_HUB_DISABLE_XET=1 in `env`, or download "
            "the model with `hf download` and give its directory"
        ),
        remedy_zh=(
            "通过 Xet 的下载失败：请继续训练；若再次出现，请在 `env` 中设置 HF_HUB_DISABLE_XET=1，或用 "
            "`hf download` 下载模型并填写其目录"
        ),
        examples=(
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/t/models/wan/wan.py", line 9, in __init__\n'
                "RuntimeError: Data processing error: CAS service error : timed out"
            ),
            "RuntimeError: hf_xet failed to reconstruct the file",
        ),
    ),
    KnownCause(
        "hf_transfer",
        pattern=r"hf_transfer",
        remedy="set HF_HUB_ENABLE_HF_TRANSFER=0 in `env`, or install hf_transfer in the trainer's environment",
        remedy_zh="请在 `env` 中设置 HF_HUB_ENABLE_HF_TRANSFER=0，或在训练器的环境中安装 hf_transfer",
        examples=(
            (
                "ValueError: Fast download using 'hf_transfer' is enabled (HF_HUB_ENABLE_HF_TRANSFER=1) but "
                "'hf_transfer' package is not available"
            ),
        ),
    ),
    KnownCause(
        "download_cut",
        pattern=r"Consistency check failed|416 Client Error",
        remedy="a download was cut off: resume, or download the model with `hf download` and give its directory",
        remedy_zh="下载中断：请继续训练，或用 `hf download` 下载模型并填写其目录",
        examples=(
            "OSError: Consistency check failed: file should be of size 9973 but has size 4096 (model.safetensors).",
            "huggingface_hub.errors.HfHubHTTPError: 416 Client Error: Requested Range Not Satisfiable",
        ),
    ),
    KnownCause(
        "hub_limit",
        pattern=r"429 Client Error|Too Many Requests",
        remedy=(
            "the model hub limits requests: wait and resume, set HF_TOKEN in `env`, or download the model and "
            "give its directory"
        ),
        remedy_zh="模型站限制了请求次数：请稍后继续，在 `env` 中设置 HF_TOKEN，或先下载模型并填写其目录",
        examples=(
            "requests.exceptions.HTTPError: 429 Client Error: Too Many Requests for url: https://huggingface.co/x",
        ),
    ),
    KnownCause(
        "lock_file",
        pattern=r"The file lock .{1,300} could not be acquired",
        remedy=(
            "another process downloads the same model, or its lock was left on a network disk: wait for it, or "
            "delete the .lock file in the error, and set HF_HOME in `env` to a directory on a local disk"
        ),
        remedy_zh=(
            "另一个进程正在下载同一个模型，或它的锁遗留在网络磁盘上：请等待它，或删除错误中的 .lock 文件，并在 "
            "`env` 中把 HF_HOME 设为本地磁盘上的目录"
        ),
        examples=("filelock._error.Timeout: The file lock '/h/a.lock' could not be acquired.",),
    ),
)
