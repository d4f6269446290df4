// Stands in for NVIDIA's libnvidia-ml.so.1 in tests: answers NVML calls from the text file named by STANDIN_NVML_STATE.

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_GPUS = 1024,
    MAX_MIG = 7,
    MAX_LINKS = 18,
    MAX_EVENT_SETS = 64,
    DELAY_SLICE_MS = 10,
    EVENT_SLICE_MS = 20,
    EVENT_XID = 0x8,
    FULL = UINT_MAX,
};

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    TIMEOUT = 10,
    OUT_OF_MEMORY = 20,
    VERSION_MISMATCH = 25,
    UNKNOWN = 999,
};

// The four lists below are the only places that name functions and fields; the Python side reads its names from here.

#define FUNCTIONS(FUNCTION) \
    FUNCTION(nvmlInitWithFlags) FUNCTION(nvmlInit_v2) FUNCTION(nvmlShutdown) \
    FUNCTION(nvmlSystemGetDriverVersion) FUNCTION(nvmlSystemGetNVMLVersion) \
    FUNCTION(nvmlSystemGetCudaDriverVersion) FUNCTION(nvmlSystemGetCudaDriverVersion_v2) \
    FUNCTION(nvmlDeviceGetCount_v2) FUNCTION(nvmlDeviceGetHandleByIndex_v2) FUNCTION(nvmlDeviceGetHandleByUUID) \
    FUNCTION(nvmlDeviceGetHandleByPciBusId_v2) FUNCTION(nvmlDeviceGetUUID) FUNCTION(nvmlDeviceGetName) \
    FUNCTION(nvmlDeviceGetIndex) FUNCTION(nvmlDeviceGetPciInfo_v3) FUNCTION(nvmlDeviceGetSerial) \
    FUNCTION(nvmlDeviceGetArchitecture) FUNCTION(nvmlDeviceGetBrand) FUNCTION(nvmlDeviceGetMinorNumber) \
    FUNCTION(nvmlDeviceGetCudaComputeCapability) FUNCTION(nvmlDeviceGetPowerManagementLimit) \
    FUNCTION(nvmlDeviceGetPowerManagementDefaultLimit) FUNCTION(nvmlDeviceGetPowerManagementLimitConstraints) \
    FUNCTION(nvmlDeviceSetPowerManagementLimit) \
    FUNCTION(nvmlDeviceGetEnforcedPowerLimit) FUNCTION(nvmlDeviceGetTemperatureThreshold) \
    FUNCTION(nvmlDeviceGetMaxClockInfo) FUNCTION(nvmlDeviceGetClockInfo) FUNCTION(nvmlDeviceGetMaxPcieLinkGeneration) \
    FUNCTION(nvmlDeviceGetMaxPcieLinkWidth) FUNCTION(nvmlDeviceGetCurrPcieLinkGeneration) \
    FUNCTION(nvmlDeviceGetCurrPcieLinkWidth) FUNCTION(nvmlDeviceGetMemoryInfo) FUNCTION(nvmlDeviceGetMemoryInfo_v2) \
    FUNCTION(nvmlDeviceGetUtilizationRates) FUNCTION(nvmlDeviceGetEncoderUtilization) \
    FUNCTION(nvmlDeviceGetDecoderUtilization) FUNCTION(nvmlDeviceGetTemperature) FUNCTION(nvmlDeviceGetTemperatureV) \
    FUNCTION(nvmlDeviceGetFieldValues) FUNCTION(nvmlDeviceGetPowerUsage) FUNCTION(nvmlDeviceGetTotalEnergyConsumption) \
    FUNCTION(nvmlDeviceGetPerformanceState) FUNCTION(nvmlDeviceGetCurrentClocksEventReasons) \
    FUNCTION(nvmlDeviceGetCurrentClocksThrottleReasons) FUNCTION(nvmlDeviceGetFanSpeed) FUNCTION(nvmlDeviceGetEccMode) \
    FUNCTION(nvmlDeviceGetTotalEccErrors) FUNCTION(nvmlDeviceGetRemappedRows) FUNCTION(nvmlDeviceGetRetiredPages) \
    FUNCTION(nvmlDeviceGetRetiredPagesPendingStatus) FUNCTION(nvmlDeviceGetComputeMode) \
    FUNCTION(nvmlDeviceGetPersistenceMode) FUNCTION(nvmlDeviceGetMigMode) FUNCTION(nvmlDeviceGetMaxMigDeviceCount) \
    FUNCTION(nvmlDeviceGetMigDeviceHandleByIndex) FUNCTION(nvmlDeviceGetDeviceHandleFromMigDeviceHandle) \
    FUNCTION(nvmlDeviceGetGpuInstanceId) FUNCTION(nvmlDeviceGetComputeInstanceId) \
    FUNCTION(nvmlDeviceIsMigDeviceHandle) FUNCTION(nvmlDeviceGetAttributes_v2) FUNCTION(nvmlDeviceGetNvLinkState) \
    FUNCTION(nvmlDeviceGetNvLinkVersion) FUNCTION(nvmlDeviceGetGpuFabricInfoV) \
    FUNCTION(nvmlDeviceGetComputeRunningProcesses_v2) FUNCTION(nvmlDeviceGetComputeRunningProcesses_v3) \
    FUNCTION(nvmlDeviceGetGraphicsRunningProcesses_v2) FUNCTION(nvmlDeviceGetGraphicsRunningProcesses_v3) \
    FUNCTION(nvmlDeviceGetSupportedEventTypes) FUNCTION(nvmlEventSetCreate) FUNCTION(nvmlDeviceRegisterEvents) \
    FUNCTION(nvmlEventSetWait_v2) FUNCTION(nvmlEventSetFree)

// Thresholds and clocks stay in the order of NVML's own numbering, as calls add NVML's number to the first of each.
#define NUMBERS(NUMBER) \
    NUMBER(memory_total) NUMBER(memory_reserved) NUMBER(memory_free) NUMBER(memory_used) \
    NUMBER(utilization_gpu) NUMBER(utilization_memory) NUMBER(utilization_encoder) NUMBER(utilization_decoder) \
    NUMBER(encoder_period_us) NUMBER(decoder_period_us) NUMBER(temperature) NUMBER(memory_temperature) \
    NUMBER(threshold_shutdown) NUMBER(threshold_slowdown) NUMBER(threshold_memory_max) NUMBER(threshold_gpu_max) \
    NUMBER(threshold_acoustic_min) NUMBER(threshold_acoustic_current) NUMBER(threshold_acoustic_max) \
    NUMBER(threshold_gps_current) NUMBER(power_usage) NUMBER(power_limit) NUMBER(power_limit_default) \
    NUMBER(power_limit_min) NUMBER(power_limit_max) NUMBER(power_limit_enforced) NUMBER(energy) \
    NUMBER(performance_state) NUMBER(clock_graphics) NUMBER(clock_sm) NUMBER(clock_memory) NUMBER(clock_video) \
    NUMBER(clock_graphics_max) NUMBER(clock_sm_max) NUMBER(clock_memory_max) NUMBER(clock_video_max) \
    NUMBER(clocks_event_reasons) NUMBER(pcie_generation) NUMBER(pcie_generation_max) NUMBER(pcie_width) \
    NUMBER(pcie_width_max) NUMBER(fan_speed) NUMBER(ecc_mode) NUMBER(ecc_mode_pending) \
    NUMBER(ecc_corrected_volatile) NUMBER(ecc_corrected_aggregate) NUMBER(ecc_uncorrected_volatile) \
    NUMBER(ecc_uncorrected_aggregate) NUMBER(remapped_rows_correctable) NUMBER(remapped_rows_uncorrectable) \
    NUMBER(remapped_rows_pending) NUMBER(remapped_rows_failure) NUMBER(retired_pages_pending) NUMBER(compute_mode) \
    NUMBER(persistence_mode) NUMBER(mig_mode) NUMBER(mig_mode_pending) NUMBER(mig_devices_max) \
    NUMBER(gpu_instance_id) NUMBER(compute_instance_id) NUMBER(multiprocessors) NUMBER(gpu_slices) \
    NUMBER(compute_slices) NUMBER(architecture) NUMBER(brand) NUMBER(minor_number) NUMBER(compute_capability_major) \
    NUMBER(compute_capability_minor) NUMBER(pci_device_id) NUMBER(pci_subsystem_id) NUMBER(nvlink_version) \
    NUMBER(supported_event_types) NUMBER(recovery_action) NUMBER(pcie_rx_bytes) NUMBER(pcie_tx_bytes) \
    NUMBER(fabric_state)

#define TEXTS(TEXT) TEXT(uuid) TEXT(name) TEXT(serial) TEXT(pci_bus_id)

#define LISTS(LIST) \
    LIST(compute_processes) LIST(graphics_processes) LIST(nvlink_state) LIST(retired_pages_single_bit) \
    LIST(retired_pages_double_bit)

#define AS_FUNCTION_ENUM(word) F_##word,
#define AS_NUMBER_ENUM(word) N_##word,
#define AS_TEXT_ENUM(word) T_##word,
#define AS_LIST_ENUM(word) L_##word,
enum { FUNCTIONS(AS_FUNCTION_ENUM) FUNCTION_COUNT, ANY_FUNCTION = FUNCTION_COUNT };
enum { NUMBERS(AS_NUMBER_ENUM) NUMBER_COUNT };
enum { TEXTS(AS_TEXT_ENUM) TEXT_COUNT };
enum { LISTS(AS_LIST_ENUM) LIST_COUNT };

struct number {
    int code;
    unsigned long long value;
};

struct text {
    int code;
    char value[96];
};

struct list {
    int code;
    unsigned count;
    unsigned long long *values;
};

// -1 means that nothing is asked for, so that 0 can exempt one function from what `*` asks.
struct faults {
    int code[FUNCTION_COUNT + 1];
    int delay_ms[FUNCTION_COUNT + 1];
};

struct device {
    struct number numbers[NUMBER_COUNT];
    struct text texts[TEXT_COUNT];
    struct list lists[LIST_COUNT];
    struct faults *faults;
    struct device *mig[MAX_MIG];
};

struct xid {
    unsigned long long sequence;
    unsigned gpu;
    unsigned long long number;
};

struct signature {
    bool there;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
};

// Never changed once loaded: a changed file makes a new one, and the last call still reading an old one frees it.
struct state {
    atomic_int users;
    struct signature signature;
    int driver_code;
    unsigned count;
    struct number cuda_version;
    struct text driver_version;
    struct text nvml_version;
    struct faults *faults;
    struct device *gpus[MAX_GPUS];
    struct xid *xids;
    size_t xid_count;
    unsigned long long newest_xid;
};

// A handle is the address of a cell here, never followed: rows are GPUs, column 0 the GPU itself, 1 to 7 its slices.
static char cells[MAX_GPUS][MAX_MIG + 1];
typedef char *handle;

static atomic_int initialized;
static const char *state_path;
static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static pthread_mutex_t state_lock = PTHREAD_MUTEX_INITIALIZER;
static struct state *current;

// Names, sorted once so that loading looks each up by bisection.

enum kind { A_FUNCTION, A_NUMBER, A_TEXT, A_LIST };

struct name {
    const char *word;
    enum kind kind;
    int index;
};

#define AS_FUNCTION_NAME(word) {#word, A_FUNCTION, F_##word},
#define AS_NUMBER_NAME(word) {#word, A_NUMBER, N_##word},
#define AS_TEXT_NAME(word) {#word, A_TEXT, T_##word},
#define AS_LIST_NAME(word) {#word, A_LIST, L_##word},
static struct name names[] = {
    {"*", A_FUNCTION, ANY_FUNCTION},
    FUNCTIONS(AS_FUNCTION_NAME)
    NUMBERS(AS_NUMBER_NAME)
    TEXTS(AS_TEXT_NAME)
    LISTS(AS_LIST_NAME)
};

static int by_word(const void *left, const void *right)
{
    return strcmp(((const struct name *)left)->word, ((const struct name *)right)->word);
}

static void prepare(void)
{
    qsort(names, sizeof names / sizeof names[0], sizeof names[0], by_word);
    const char *path = getenv("STANDIN_NVML_STATE");
    if (path)
        state_path = strdup(path);
}

static const struct name *look_up(const char *word)
{
    struct name wanted = {word, A_FUNCTION, 0};
    return bsearch(&wanted, names, sizeof names / sizeof names[0], sizeof names[0], by_word);
}

// Reading the state file.

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        abort();
    return memory;
}

static struct device *new_device(void)
{
    struct device *device = allocate(1, sizeof *device);
    for (int i = 0; i < NUMBER_COUNT; i++)
        device->numbers[i].code = NOT_SUPPORTED;
    for (int i = 0; i < TEXT_COUNT; i++)
        device->texts[i].code = NOT_SUPPORTED;
    for (int i = 0; i < LIST_COUNT; i++)
        device->lists[i].code = NOT_SUPPORTED;
    return device;
}

static void free_device(struct device *device)
{
    if (!device)
        return;
    for (int i = 0; i < LIST_COUNT; i++)
        free(device->lists[i].values);
    for (int i = 0; i < MAX_MIG; i++)
        free_device(device->mig[i]);
    free(device->faults);
    free(device);
}

static void free_state(struct state *state)
{
    for (int i = 0; i < MAX_GPUS; i++)
        free_device(state->gpus[i]);
    free(state->faults);
    free(state->xids);
    free(state);
}

static bool read_number(const char *text, char **end, unsigned long long *value)
{
    if (*text == '-' && (text[1] < '0' || text[1] > '9')) {
        *value = ULLONG_MAX;
        *end = (char *)text + 1;
        return true;
    }
    *value = strtoull(text, end, 0);
    return *end != text;
}

static bool read_whole_number(const char *text, unsigned long long *value)
{
    char *end;
    return read_number(text, &end, value) && *end == '\0';
}

static bool read_code(const char *text, int *code)
{
    unsigned long long value;
    if (strcmp(text, "unsupported") == 0) {
        *code = NOT_SUPPORTED;
        return true;
    }
    if (strncmp(text, "error:", 6) != 0 || !read_whole_number(text + 6, &value))
        return false;
    *code = (int)value;
    return true;
}

static bool parse_number(struct number *number, const char *text)
{
    if (read_code(text, &number->code))
        return true;
    number->code = SUCCESS;
    return read_whole_number(text, &number->value);
}

static bool parse_text(struct text *into, const char *text)
{
    if (read_code(text, &into->code))
        return true;
    into->code = SUCCESS;
    return snprintf(into->value, sizeof into->value, "%s", text) < (int)sizeof into->value;
}

// Items are separated by commas and their parts by colons; a part left out, or a lone dash, is all ones.
static bool parse_list(struct list *list, const char *text, unsigned width)
{
    free(list->values);
    list->values = NULL;
    list->count = 0;
    if (read_code(text, &list->code))
        return true;
    list->code = SUCCESS;
    if (*text == '\0')
        return true;
    unsigned room = 1;
    for (const char *at = text; *at; at++)
        room += *at == ',';
    list->values = allocate(room, width * sizeof *list->values);
    for (;;) {
        unsigned long long *item = list->values + (size_t)list->count * width;
        char *end = (char *)text;
        for (unsigned part = 0; part < width; part++)
            item[part] = ULLONG_MAX;
        for (unsigned part = 0; part < width; part++) {
            if (!read_number(text, &end, &item[part]))
                return false;
            text = end + 1;
            if (*end != ':')
                break;
        }
        list->count++;
        if (*end == '\0')
            return true;
        if (*end != ',')
            return false;
    }
}

static bool parse_fault(struct faults **faults, const char *key, const char *text)
{
    bool delay = strncmp(key, "delay_ms.", 9) == 0;
    const struct name *name = look_up(key + (delay ? 9 : 5));
    unsigned long long value;
    if (!name || name->kind != A_FUNCTION || !read_whole_number(text, &value) || value > INT_MAX)
        return false;
    if (!*faults) {
        *faults = allocate(1, sizeof **faults);
        memset(*faults, 0xff, sizeof **faults);
    }
    (delay ? (*faults)->delay_ms : (*faults)->code)[name->index] = (int)value;
    return true;
}

static bool is_fault(const char *key)
{
    return strncmp(key, "code.", 5) == 0 || strncmp(key, "delay_ms.", 9) == 0;
}

static bool read_index(const char **key, unsigned limit, unsigned *index)
{
    char *end;
    unsigned long value = strtoul(*key, &end, 10);
    if (end == *key || *end != '.' || value >= limit)
        return false;
    *key = end + 1;
    *index = (unsigned)value;
    return true;
}

static bool parse_device(struct state *state, const char *key, const char *text)
{
    unsigned index;
    if (!read_index(&key, MAX_GPUS, &index))
        return false;
    struct device **slot = &state->gpus[index];
    if (!*slot)
        *slot = new_device();
    if (is_fault(key))
        return parse_fault(&(*slot)->faults, key, text);
    if (strncmp(key, "mig.", 4) == 0) {
        key += 4;
        if (!read_index(&key, MAX_MIG, &index))
            return false;
        slot = &(*slot)->mig[index];
        if (!*slot)
            *slot = new_device();
    }
    const struct name *name = look_up(key);
    if (!name)
        return false;
    switch (name->kind) {
    case A_NUMBER:
        return parse_number(&(*slot)->numbers[name->index], text);
    case A_TEXT:
        return parse_text(&(*slot)->texts[name->index], text);
    case A_LIST:
        return parse_list(&(*slot)->lists[name->index], text,
                          name->index == L_compute_processes || name->index == L_graphics_processes ? 4 : 1);
    default:
        return false;
    }
}

static bool parse_xid(struct state *state, const char *key, const char *text)
{
    struct xid xid;
    unsigned long long gpu;
    char *end;
    if (!read_whole_number(key, &xid.sequence) || !read_number(text, &end, &gpu) || *end != ':' || gpu >= MAX_GPUS ||
        !read_whole_number(end + 1, &xid.number) || xid.sequence <= state->newest_xid)
        return false;
    xid.gpu = (unsigned)gpu;
    if (state->xid_count % 64 == 0) {
        state->xids = realloc(state->xids, (state->xid_count + 64) * sizeof *state->xids);
        if (!state->xids)
            abort();
    }
    state->xids[state->xid_count++] = xid;
    state->newest_xid = xid.sequence;
    return true;
}

static bool parse_line(struct state *state, char *line)
{
    if (*line == '\0' || *line == '#')
        return true;
    char *text = strchr(line, '=');
    if (!text)
        return false;
    *text++ = '\0';
    unsigned long long value;
    if (strncmp(line, "gpu.", 4) == 0)
        return parse_device(state, line + 4, text);
    if (strncmp(line, "xid.", 4) == 0)
        return parse_xid(state, line + 4, text);
    if (is_fault(line))
        return parse_fault(&state->faults, line, text);
    if (strcmp(line, "driver_version") == 0)
        return parse_text(&state->driver_version, text);
    if (strcmp(line, "nvml_version") == 0)
        return parse_text(&state->nvml_version, text);
    if (strcmp(line, "cuda_version") == 0)
        return parse_number(&state->cuda_version, text);
    if (strcmp(line, "driver_code") == 0 && read_whole_number(text, &value) && value <= INT_MAX)
        state->driver_code = (int)value;
    else if (strcmp(line, "count") == 0 && read_whole_number(text, &value) && value <= MAX_GPUS)
        state->count = (unsigned)value;
    else
        return false;
    return true;
}

static struct signature sign(const struct stat *file)
{
    return (struct signature){true, file->st_dev, file->st_ino, file->st_size, file->st_mtim};
}

static bool same(const struct signature *a, const struct signature *b)
{
    return a->there == b->there && a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec;
}

static char *read_file(struct signature *signature)
{
    struct stat file;
    int descriptor = state_path ? open(state_path, O_RDONLY | O_CLOEXEC) : -1;
    if (descriptor < 0)
        return NULL;
    if (fstat(descriptor, &file) != 0) {
        close(descriptor);
        return NULL;
    }
    // Signed before it is read: a file that grows meanwhile no longer matches, and the next call reads it again.
    *signature = sign(&file);
    char *text = allocate(1, (size_t)file.st_size + 1);
    size_t length = 0;
    while (length < (size_t)file.st_size) {
        ssize_t got = read(descriptor, text + length, (size_t)file.st_size - length);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    close(descriptor);
    return text;
}

static struct state *load(void)
{
    struct state *state = allocate(1, sizeof *state);
    atomic_init(&state->users, 1);
    state->driver_version.code = state->nvml_version.code = state->cuda_version.code = NOT_SUPPORTED;
    char *text = read_file(&state->signature);
    if (!text)
        state->driver_code = DRIVER_NOT_LOADED;
    int line_number = 0;
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        line_number++;
        if (!parse_line(state, line)) {
            fprintf(stderr, "standin nvml: cannot use line %d of %s: %s\n", line_number, state_path, line);
            state->driver_code = UNKNOWN;
        }
    }
    free(text);
    for (unsigned i = 0; i < state->count; i++)
        if (!state->gpus[i])
            state->gpus[i] = new_device();
    return state;
}

static void release(struct state *state)
{
    if (atomic_fetch_sub(&state->users, 1) == 1)
        free_state(state);
}

static struct signature look(void)
{
    struct stat file;
    if (!state_path || stat(state_path, &file) != 0)
        return (struct signature){0};
    return sign(&file);
}

static struct state *acquire(void)
{
    pthread_once(&prepared, prepare);
    struct signature seen = look();
    struct state *old = NULL;
    pthread_mutex_lock(&state_lock);
    if (!current || !same(&current->signature, &seen)) {
        // Looked at again under the lock, as another call may have loaded the change while this one waited.
        seen = look();
        if (!current || !same(&current->signature, &seen)) {
            old = current;
            current = load();
        }
    }
    struct state *state = current;
    atomic_fetch_add(&state->users, 1);
    pthread_mutex_unlock(&state_lock);
    if (old)
        release(old);
    return state;
}

// Entering and leaving a call.

struct call {
    struct state *state;
    struct device *device;
    unsigned gpu;
    unsigned mig;
};

enum { MACHINE = 1, BEFORE_INIT = 2, AT_ONCE = 4 };

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void sleep_ms(long long milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static bool find_device(struct call *call, handle where)
{
    uintptr_t offset = (uintptr_t)where - (uintptr_t)cells;
    call->device = NULL;
    if ((uintptr_t)where < (uintptr_t)cells || offset >= sizeof cells)
        return false;
    call->gpu = (unsigned)(offset / (MAX_MIG + 1));
    call->mig = (unsigned)(offset % (MAX_MIG + 1));
    if (call->gpu >= call->state->count)
        return false;
    call->device = call->state->gpus[call->gpu];
    if (call->mig)
        call->device = call->device->mig[call->mig - 1];
    return call->device != NULL;
}

static int asked(const int *values, int function)
{
    return values[function] >= 0 ? values[function] : values[ANY_FUNCTION];
}

// What is asked of one GPU goes before what is asked of the machine, and a function's name before `*`.
static int find_fault(const struct call *call, int function, bool delay)
{
    const struct device *gpu = call->device ? call->state->gpus[call->gpu] : NULL;
    const struct faults *levels[] = {gpu ? gpu->faults : NULL, call->state->faults};
    for (int i = 0; i < 2; i++) {
        int value = levels[i] ? asked(delay ? levels[i]->delay_ms : levels[i]->code, function) : -1;
        if (value >= 0)
            return value;
    }
    return 0;
}

static int enter_as(struct call *call, int function, handle where, int how)
{
    long long started = 0;
    bool found;
    for (;;) {
        if (!(how & BEFORE_INIT) && atomic_load(&initialized) <= 0)
            return UNINITIALIZED;
        call->state = acquire();
        call->device = NULL;
        found = how & MACHINE || find_device(call, where);
        int delay = how & AT_ONCE ? 0 : find_fault(call, function, true);
        if (delay == 0)
            break;
        if (started == 0)
            started = now_ms();
        long long left = started + delay - now_ms();
        if (left <= 0)
            break;
        release(call->state);
        sleep_ms(left < DELAY_SLICE_MS ? left : DELAY_SLICE_MS);
    }
    int code = call->state->driver_code ? call->state->driver_code : find_fault(call, function, false);
    if (!code && !found)
        code = INVALID_ARGUMENT;
    if (code)
        release(call->state);
    return code;
}

static int enter(struct call *call, int function, handle where)
{
    return enter_as(call, function, where, 0);
}

static int enter_machine(struct call *call, int function)
{
    return enter_as(call, function, NULL, MACHINE);
}

static int leave(struct call *call, int code)
{
    release(call->state);
    return code;
}

static int take(const struct call *call, int field, unsigned long long *value)
{
    const struct number *number = &call->device->numbers[field];
    *value = number->value;
    return number->code;
}

static int give_uint(const struct call *call, int field, unsigned *out)
{
    unsigned long long value;
    if (!out)
        return INVALID_ARGUMENT;
    int code = take(call, field, &value);
    if (!code)
        *out = (unsigned)value;
    return code;
}

static int give_long(const struct call *call, int field, unsigned long long *out)
{
    unsigned long long value;
    if (!out)
        return INVALID_ARGUMENT;
    int code = take(call, field, &value);
    if (!code)
        *out = value;
    return code;
}

static int give_pair(const struct call *call, int first_field, unsigned *first, int second_field, unsigned *second)
{
    int code = give_uint(call, first_field, first);
    return code ? code : give_uint(call, second_field, second);
}

static int give_text(const struct text *text, char *out, unsigned size)
{
    if (text->code)
        return text->code;
    if (!out)
        return INVALID_ARGUMENT;
    size_t length = strlen(text->value);
    if (length >= size)
        return INSUFFICIENT_SIZE;
    memcpy(out, text->value, length + 1);
    return SUCCESS;
}

#define UINT_CALL(function, field) \
    int function(handle where, unsigned *out) \
    { \
        struct call call; \
        int code = enter(&call, F_##function, where); \
        return code ? code : leave(&call, give_uint(&call, N_##field, out)); \
    }

#define LONG_CALL(function, field) \
    int function(handle where, unsigned long long *out) \
    { \
        struct call call; \
        int code = enter(&call, F_##function, where); \
        return code ? code : leave(&call, give_long(&call, N_##field, out)); \
    }

#define PAIR_CALL(function, first_field, second_field) \
    int function(handle where, unsigned *first, unsigned *second) \
    { \
        struct call call; \
        int code = enter(&call, F_##function, where); \
        return code ? code : leave(&call, give_pair(&call, N_##first_field, first, N_##second_field, second)); \
    }

#define NUMBERED_CALL(function, first_field, limit) \
    int function(handle where, unsigned type, unsigned *out) \
    { \
        struct call call; \
        int code = enter(&call, F_##function, where); \
        if (code) \
            return code; \
        return leave(&call, type < (limit) ? give_uint(&call, N_##first_field + (int)type, out) : INVALID_ARGUMENT); \
    }

#define TEXT_CALL(function, field) \
    int function(handle where, char *out, unsigned size) \
    { \
        struct call call; \
        int code = enter(&call, F_##function, where); \
        return code ? code : leave(&call, give_text(&call.device->texts[T_##field], out, size)); \
    }

#define SYSTEM_TEXT_CALL(function, field) \
    int function(char *out, unsigned size) \
    { \
        struct call call; \
        int code = enter_machine(&call, F_##function); \
        return code ? code : leave(&call, give_text(&call.state->field, out, size)); \
    }

// Life cycle.

static int start(int function)
{
    struct call call;
    int code = enter_as(&call, function, NULL, MACHINE | BEFORE_INIT);
    if (code)
        return code;
    atomic_fetch_add(&initialized, 1);
    return leave(&call, SUCCESS);
}

int nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    return start(F_nvmlInitWithFlags);
}

int nvmlInit_v2(void)
{
    return start(F_nvmlInit_v2);
}

int nvmlShutdown(void)
{
    struct call call;
    int code = enter_machine(&call, F_nvmlShutdown);
    int count = atomic_load(&initialized);
    // Counted down even when told to fail, as the caller considers the library closed either way.
    while (count > 0 && !atomic_compare_exchange_weak(&initialized, &count, count - 1))
        continue;
    return code ? code : leave(&call, count > 0 ? SUCCESS : UNINITIALIZED);
}

const char *nvmlErrorString(int code)
{
    static const char *const texts[] = {
        "Success", "Uninitialized", "Invalid Argument", "Not Supported", "Insufficient Permissions",
        "Already Initialized", "Not Found", "Insufficient Size", "Insufficient External Power", "Driver Not Loaded",
        "Timeout", "Interrupt Request Issue", "NVML Shared Library Not Found", "Function Not Found",
        "Corrupted infoROM", "GPU is lost", "GPU requires reset", "Operating System Error",
        "Driver/library version mismatch", "In use by another client", "Insufficient Memory", "No Data",
        "ECC Not Supported On vGPU", "Insufficient Resources", "Frequency Not Supported",
        "Argument Version Mismatch", "Deprecated", "Not Ready", "GPU Not Found", "Invalid State",
        "Reset Type Not Supported",
    };
    return code >= 0 && code < (int)(sizeof texts / sizeof texts[0]) ? texts[code] : "Unknown Error";
}

// The machine.

SYSTEM_TEXT_CALL(nvmlSystemGetDriverVersion, driver_version)
SYSTEM_TEXT_CALL(nvmlSystemGetNVMLVersion, nvml_version)

static int cuda_version(int function, int *out)
{
    struct call call;
    int code = enter_machine(&call, function);
    if (code)
        return code;
    code = out ? call.state->cuda_version.code : INVALID_ARGUMENT;
    if (!code)
        *out = (int)call.state->cuda_version.value;
    return leave(&call, code);
}

int nvmlSystemGetCudaDriverVersion(int *out)
{
    return cuda_version(F_nvmlSystemGetCudaDriverVersion, out);
}

int nvmlSystemGetCudaDriverVersion_v2(int *out)
{
    return cuda_version(F_nvmlSystemGetCudaDriverVersion_v2, out);
}

int nvmlDeviceGetCount_v2(unsigned *out)
{
    struct call call;
    int code = enter_machine(&call, F_nvmlDeviceGetCount_v2);
    if (code)
        return code;
    if (out)
        *out = call.state->count;
    return leave(&call, out ? SUCCESS : INVALID_ARGUMENT);
}

// Handles.

int nvmlDeviceGetHandleByIndex_v2(unsigned index, handle *out)
{
    struct call call;
    handle where = index < MAX_GPUS ? &cells[index][0] : NULL;
    int code = enter(&call, F_nvmlDeviceGetHandleByIndex_v2, where);
    if (code)
        return code;
    if (out)
        *out = where;
    return leave(&call, out ? SUCCESS : INVALID_ARGUMENT);
}

static handle find_text(int field, const char *text)
{
    struct state *state = acquire();
    handle found = NULL;
    for (unsigned i = 0; i < state->count && !found; i++) {
        for (int j = 0; j <= MAX_MIG && !found; j++) {
            const struct device *device = j ? state->gpus[i]->mig[j - 1] : state->gpus[i];
            if (device && !device->texts[field].code && strcasecmp(device->texts[field].value, text) == 0)
                found = &cells[i][j];
        }
    }
    release(state);
    return found;
}

static int handle_by_text(int function, int field, const char *text, handle *out)
{
    struct call call;
    if (!text || !out)
        return INVALID_ARGUMENT;
    handle where = find_text(field, text);
    int code = where ? enter(&call, function, where) : enter_machine(&call, function);
    if (code)
        return code;
    *out = where;
    return leave(&call, where ? SUCCESS : NOT_FOUND);
}

int nvmlDeviceGetHandleByUUID(const char *uuid, handle *out)
{
    return handle_by_text(F_nvmlDeviceGetHandleByUUID, T_uuid, uuid, out);
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, handle *out)
{
    return handle_by_text(F_nvmlDeviceGetHandleByPciBusId_v2, T_pci_bus_id, bus_id, out);
}

// What a device is.

TEXT_CALL(nvmlDeviceGetUUID, uuid)
TEXT_CALL(nvmlDeviceGetName, name)
TEXT_CALL(nvmlDeviceGetSerial, serial)
UINT_CALL(nvmlDeviceGetArchitecture, architecture)
UINT_CALL(nvmlDeviceGetBrand, brand)
UINT_CALL(nvmlDeviceGetMinorNumber, minor_number)
PAIR_CALL(nvmlDeviceGetCudaComputeCapability, compute_capability_major, compute_capability_minor)

int nvmlDeviceGetIndex(handle where, unsigned *out)
{
    struct call call;
    int code = enter(&call, F_nvmlDeviceGetIndex, where);
    if (code)
        return code;
    if (out)
        *out = call.mig ? call.mig - 1 : call.gpu;
    return leave(&call, out ? SUCCESS : INVALID_ARGUMENT);
}

struct pci_info {
    char short_bus_id[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};

int nvmlDeviceGetPciInfo_v3(handle where, struct pci_info *out)
{
    struct call call;
    struct pci_info info = {0};
    int code = enter(&call, F_nvmlDeviceGetPciInfo_v3, where);
    if (code)
        return code;
    code = give_text(&call.device->texts[T_pci_bus_id], info.bus_id, sizeof info.bus_id);
    if (!code && sscanf(info.bus_id, "%x:%x:%x", &info.domain, &info.bus, &info.device) != 3)
        code = UNKNOWN;
    if (!code)
        code = give_pair(&call, N_pci_device_id, &info.device_id, N_pci_subsystem_id, &info.subsystem_id);
    snprintf(info.short_bus_id, sizeof info.short_bus_id, "%04X:%02X:%02X.0", info.domain & 0xffff, info.bus & 0xff,
             info.device & 0xff);
    if (!code && out)
        *out = info;
    return leave(&call, code || out ? code : INVALID_ARGUMENT);
}

UINT_CALL(nvmlDeviceGetMaxPcieLinkGeneration, pcie_generation_max)
UINT_CALL(nvmlDeviceGetMaxPcieLinkWidth, pcie_width_max)
UINT_CALL(nvmlDeviceGetCurrPcieLinkGeneration, pcie_generation)
UINT_CALL(nvmlDeviceGetCurrPcieLinkWidth, pcie_width)
UINT_CALL(nvmlDeviceGetComputeMode, compute_mode)
UINT_CALL(nvmlDeviceGetPersistenceMode, persistence_mode)

// What a device is doing.

UINT_CALL(nvmlDeviceGetPowerUsage, power_usage)
UINT_CALL(nvmlDeviceGetPowerManagementDefaultLimit, power_limit_default)

// Limits that this process has set, by GPU; 0: that of the state counts.
static atomic_uint set_limits[MAX_GPUS];

static int give_limit(int function, handle where, int field, unsigned *out)
{
    struct call call;
    int code = enter(&call, function, where);
    if (code)
        return code;
    code = give_uint(&call, field, out);
    unsigned limit = atomic_load(&set_limits[call.gpu]);
    if (!code && limit)
        *out = limit;
    return leave(&call, code);
}

int nvmlDeviceGetPowerManagementLimit(handle where, unsigned *out)
{
    return give_limit(F_nvmlDeviceGetPowerManagementLimit, where, N_power_limit, out);
}

int nvmlDeviceGetEnforcedPowerLimit(handle where, unsigned *out)
{
    return give_limit(F_nvmlDeviceGetEnforcedPowerLimit, where, N_power_limit_enforced, out);
}

int nvmlDeviceSetPowerManagementLimit(handle where, unsigned limit)
{
    struct call call;
    int code = enter(&call, F_nvmlDeviceSetPowerManagementLimit, where);
    if (code)
        return code;
    unsigned least, most;
    code = give_pair(&call, N_power_limit_min, &least, N_power_limit_max, &most);
    if (!code && (limit < least || limit > most))
        code = INVALID_ARGUMENT;
    if (!code)
        atomic_store(&set_limits[call.gpu], limit);
    return leave(&call, code);
}

PAIR_CALL(nvmlDeviceGetPowerManagementLimitConstraints, power_limit_min, power_limit_max)
LONG_CALL(nvmlDeviceGetTotalEnergyConsumption, energy)
UINT_CALL(nvmlDeviceGetPerformanceState, performance_state)
LONG_CALL(nvmlDeviceGetCurrentClocksEventReasons, clocks_event_reasons)
LONG_CALL(nvmlDeviceGetCurrentClocksThrottleReasons, clocks_event_reasons)
UINT_CALL(nvmlDeviceGetFanSpeed, fan_speed)
NUMBERED_CALL(nvmlDeviceGetClockInfo, clock_graphics, 4)
NUMBERED_CALL(nvmlDeviceGetMaxClockInfo, clock_graphics_max, 4)
NUMBERED_CALL(nvmlDeviceGetTemperatureThreshold, threshold_shutdown, 8)
NUMBERED_CALL(nvmlDeviceGetTemperature, temperature, 1)
PAIR_CALL(nvmlDeviceGetEncoderUtilization, utilization_encoder, encoder_period_us)
PAIR_CALL(nvmlDeviceGetDecoderUtilization, utilization_decoder, decoder_period_us)

struct versioned_temperature {
    unsigned version, sensor;
    int temperature;
};

int nvmlDeviceGetTemperatureV(handle where, struct versioned_temperature *out)
{
    struct call call;
    int code = enter(&call, F_nvmlDeviceGetTemperatureV, where);
    if (code)
        return code;
    if (!out || out->sensor != 0)
        return leave(&call, INVALID_ARGUMENT);
    if (out->version != (sizeof *out | 1 << 24))
        return leave(&call, VERSION_MISMATCH);
    return leave(&call, give_uint(&call, N_temperature, (unsigned *)&out->temperature));
}

struct utilization {
    unsigned gpu, memory;
};

int nvmlDeviceGetUtilizationRates(handle where, struct utilization *out)
{
    struct call call;
    struct utilization rates;
    int code = enter(&call, F_nvmlDeviceGetUtilizationRates, where);
    if (code)
        return code;
    code = give_pair(&call, N_utilization_gpu, &rates.gpu, N_utilization_memory, &rates.memory);
    if (!code && out)
        *out = rates;
    return leave(&call, code || out ? code : INVALID_ARGUMENT);
}

struct memory {
    unsigned long long total, free, used;
};

struct memory_v2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
};

// Free memory follows from the rest unless the state names it.
static int take_memory(const struct call *call, struct memory_v2 *memory)
{
    int code = take(call, N_memory_total, &memory->total);
    if (!code)
        code = take(call, N_memory_used, &memory->used);
    if (code)
        return code;
    if (take(call, N_memory_reserved, &memory->reserved))
        memory->reserved = 0;
    code = take(call, N_memory_free, &memory->free);
    if (code == NOT_SUPPORTED) {
        memory->free = memory->total - memory->used - memory->reserved;
        code = SUCCESS;
    }
    return code;
}

int nvmlDeviceGetMemoryInfo(handle where, struct memory *out)
{
    struct call call;
    struct memory_v2 memory = {0};
    int code = enter(&call, F_nvmlDeviceGetMemoryInfo, where);
    if (code)
        return code;
    code = out ? take_memory(&call, &memory) : INVALID_ARGUMENT;
    // The first version has no field for reserved memory, and the real library counts it as used there.
    if (!code)
        *out = (struct memory){memory.total, memory.free, memory.used + memory.reserved};
    return leave(&call, code);
}

int nvmlDeviceGetMemoryInfo_v2(handle where, struct memory_v2 *out)
{
    struct call call;
    int code = enter(&call, F_nvmlDeviceGetMemoryInfo_v2, where);
    if (code)
        return code;
    if (!out)
        return leave(&call, INVALID_ARGUMENT);
    if (out->version != (sizeof *out | 2 << 24))
        return leave(&call, VERSION_MISMATCH);
    struct memory_v2 memory = {.version = out->version};
    code = take_memory(&call, &memory);
    if (!code)
        *out = memory;
    return leave(&call, code);
}

struct field_value {
    unsigned id, scope;
    long long timestamp, latency;
    unsigned type;
    int code;
    unsigned long long value;
};

int nvmlDeviceGetFieldValues(handle where, int count, struct field_value *values)
{
    enum { UINT_TYPE = 1, LONG_TYPE = 3 };
    static const struct { unsigned id, type; int field; } known[] = {
        {1, UINT_TYPE, N_ecc_mode},
        {2, UINT_TYPE, N_ecc_mode_pending},
        {3, LONG_TYPE, N_ecc_corrected_volatile},
        {4, LONG_TYPE, N_ecc_uncorrected_volatile},
        {5, LONG_TYPE, N_ecc_corrected_aggregate},
        {6, LONG_TYPE, N_ecc_uncorrected_aggregate},
        {82, UINT_TYPE, N_memory_temperature},
        {83, LONG_TYPE, N_energy},
        {186, UINT_TYPE, N_power_usage},
        {197, LONG_TYPE, N_pcie_tx_bytes},
        {198, LONG_TYPE, N_pcie_rx_bytes},
        {230, UINT_TYPE, N_recovery_action},
    };
    struct call call;
    struct timespec now;
    int code = enter(&call, F_nvmlDeviceGetFieldValues, where);
    if (code)
        return code;
    if (!values || count < 1)
        return leave(&call, INVALID_ARGUMENT);
    clock_gettime(CLOCK_REALTIME, &now);
    for (int i = 0; i < count; i++) {
        values[i].timestamp = now.tv_sec * 1000000LL + now.tv_nsec / 1000;
        values[i].latency = 0;
        values[i].value = 0;
        values[i].code = NOT_SUPPORTED;
        for (size_t j = 0; j < sizeof known / sizeof known[0]; j++) {
            if (known[j].id == values[i].id) {
                values[i].type = known[j].type;
                values[i].code = take(&call, known[j].field, &values[i].value);
            }
        }
    }
    return leave(&call, SUCCESS);
}

// Health.

PAIR_CALL(nvmlDeviceGetEccMode, ecc_mode, ecc_mode_pending)
UINT_CALL(nvmlDeviceGetRetiredPagesPendingStatus, retired_pages_pending)

int nvmlDeviceGetTotalEccErrors(handle where, unsigned uncorrected, unsigned aggregate, unsigned long long *out)
{
    static const int fields[2][2] = {
        {N_ecc_corrected_volatile, N_ecc_corrected_aggregate},
        {N_ecc_uncorrected_volatile, N_ecc_uncorrected_aggregate},
    };
    struct call call;
    int code = enter(&call, F_nvmlDeviceGetTotalEccErrors, where);
    if (code)
        return code;
    if (uncorrected > 1 || aggregate > 1)
        return leave(&call, INVALID_ARGUMENT);
    return leave(&call, give_long(&call, fields[uncorrected][aggregate], out));
}

int nvmlDeviceGetRemappedRows(handle where, unsigned *correctable, unsigned *uncorrectable, unsigned *pending,
                              unsigned *failure)
{
    struct call call;
    int code = enter(&call, F_nvmlDeviceGetRemappedRows, where);
    if (code)
        return code;
    code = give_pair(&call, N_remapped_rows_correctable, correctable, N_remapped_rows_uncorrectable, uncorrectable);
    if (!code)
        code = give_pair(&call, N_remapped_rows_pending, pending, N_remapped_rows_failure, failure);
    return leave(&call, code);
}

int nvmlDeviceGetRetiredPages(handle where, unsigned cause, unsigned *count, unsigned long long *addresses)
{
    struct call call;
    int code = enter(&call, F_nvmlDeviceGetRetiredPages, where);
    if (code)
        return code;
    if (cause > 1 || !count)
        return leave(&call, INVALID_ARGUMENT);
    const struct list *pages = &call.device->lists[L_retired_pages_single_bit + (int)cause];
    if (pages->code)
        return leave(&call, pages->code);
    bool fits = pages->count == 0 || (addresses && *count >= pages->count);
    *count = pages->count;
    if (!fits)
        return leave(&call, INSUFFICIENT_SIZE);
    if (pages->count)
        memcpy(addresses, pages->values, pages->count * sizeof *addresses);
    return leave(&call, SUCCESS);
}

// MIG and NVLink.

PAIR_CALL(nvmlDeviceGetMigMode, mig_mode, mig_mode_pending)
UINT_CALL(nvmlDeviceGetMaxMigDeviceCount, mig_devices_max)
UINT_CALL(nvmlDeviceGetGpuInstanceId, gpu_instance_id)
UINT_CALL(nvmlDeviceGetComputeInstanceId, compute_instance_id)

int nvmlDeviceGetMigDeviceHandleByIndex(handle where, unsigned index, handle *out)
{
    struct call call;
    unsigned long long mode;
    int code = enter(&call, F_nvmlDeviceGetMigDeviceHandleByIndex, where);
    if (code)
        return code;
    code = take(&call, N_mig_mode, &mode);
    if (code)
        return leave(&call, code);
    if (!out || call.mig || index >= MAX_MIG)
        return leave(&call, INVALID_ARGUMENT);
    if (mode != 1 || !call.device->mig[index])
        return leave(&call, NOT_FOUND);
    *out = &cells[call.gpu][index + 1];
    return leave(&call, SUCCESS);
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle where, handle *out)
{
    struct call call;
    int code = enter(&call, F_nvmlDeviceGetDeviceHandleFromMigDeviceHandle, where);
    if (code)
        return code;
    if (!out || !call.mig)
        return leave(&call, INVALID_ARGUMENT);
    *out = &cells[call.gpu][0];
    return leave(&call, SUCCESS);
}

int nvmlDeviceIsMigDeviceHandle(handle where, unsigned *out)
{
    struct call call;
    int code = enter(&call, F_nvmlDeviceIsMigDeviceHandle, where);
    if (code)
        return code;
    if (out)
        *out = call.mig != 0;
    return leave(&call, out ? SUCCESS : INVALID_ARGUMENT);
}

struct attributes {
    unsigned multiprocessors, copy_engines, decoders, encoders, jpegs, optical_flows, gpu_slices, compute_slices;
    unsigned long long memory_mb;
};

int nvmlDeviceGetAttributes_v2(handle where, struct attributes *out)
{
    struct call call;
    struct attributes attributes = {0};
    int code = enter(&call, F_nvmlDeviceGetAttributes_v2, where);
    if (code)
        return code;
    code = give_pair(&call, N_gpu_slices, &attributes.gpu_slices, N_compute_slices, &attributes.compute_slices);
    if (!code)
        code = give_uint(&call, N_multiprocessors, &attributes.multiprocessors);
    if (!code)
        code = give_long(&call, N_memory_total, &attributes.memory_mb);
    attributes.memory_mb >>= 20;
    if (!code && out)
        *out = attributes;
    return leave(&call, code || out ? code : INVALID_ARGUMENT);
}

int nvmlDeviceGetNvLinkState(handle where, unsigned link, unsigned *out)
{
    struct call call;
    int code = enter(&call, F_nvmlDeviceGetNvLinkState, where);
    if (code)
        return code;
    const struct list *links = &call.device->lists[L_nvlink_state];
    if (!out || link >= MAX_LINKS)
        return leave(&call, INVALID_ARGUMENT);
    if (links->code || link >= links->count || links->values[link] == ULLONG_MAX)
        return leave(&call, links->code ? links->code : NOT_SUPPORTED);
    *out = (unsigned)links->values[link];
    return leave(&call, SUCCESS);
}

int nvmlDeviceGetNvLinkVersion(handle where, unsigned link, unsigned *out)
{
    struct call call;
    int code = enter(&call, F_nvmlDeviceGetNvLinkVersion, where);
    if (code)
        return code;
    if (link >= MAX_LINKS)
        return leave(&call, INVALID_ARGUMENT);
    if (link >= call.device->lists[L_nvlink_state].count)
        return leave(&call, NOT_SUPPORTED);
    return leave(&call, give_uint(&call, N_nvlink_version, out));
}

struct fabric_info {
    unsigned version;
    unsigned char cluster[16];
    int status;
    unsigned clique;
    unsigned char state;
    unsigned health;
};

int nvmlDeviceGetGpuFabricInfoV(handle where, struct fabric_info *out)
{
    struct call call;
    unsigned state;
    int code = enter(&call, F_nvmlDeviceGetGpuFabricInfoV, where);
    if (code)
        return code;
    if (!out || out->version != (sizeof *out | 2 << 24))
        return leave(&call, VERSION_MISMATCH);
    code = give_uint(&call, N_fabric_state, &state);
    if (!code)
        *out = (struct fabric_info){.version = out->version, .state = (unsigned char)state};
    return leave(&call, code);
}

// Processes.

struct process {
    unsigned pid;
    unsigned long long memory;
    unsigned gpu_instance, compute_instance;
};

static int give_processes(int function, int field, handle where, unsigned *count, struct process *out)
{
    struct call call;
    int code = enter(&call, function, where);
    if (code)
        return code;
    const struct list *list = &call.device->lists[field];
    if (!count || list->code)
        return leave(&call, list->code ? list->code : INVALID_ARGUMENT);
    bool fits = list->count == 0 || (out && *count >= list->count);
    *count = list->count;
    if (!fits)
        return leave(&call, INSUFFICIENT_SIZE);
    unsigned gpu_instance = FULL, compute_instance = FULL;
    give_pair(&call, N_gpu_instance_id, &gpu_instance, N_compute_instance_id, &compute_instance);
    for (unsigned i = 0; i < list->count; i++) {
        const unsigned long long *item = list->values + (size_t)i * 4;
        out[i] = (struct process){(unsigned)item[0], item[1], item[2] == ULLONG_MAX ? gpu_instance : (unsigned)item[2],
                                  item[3] == ULLONG_MAX ? compute_instance : (unsigned)item[3]};
    }
    return leave(&call, SUCCESS);
}

#define PROCESSES_CALL(function, field) \
    int function(handle where, unsigned *count, struct process *out) \
    { \
        return give_processes(F_##function, L_##field, where, count, out); \
    }

PROCESSES_CALL(nvmlDeviceGetComputeRunningProcesses_v2, compute_processes)
PROCESSES_CALL(nvmlDeviceGetComputeRunningProcesses_v3, compute_processes)
PROCESSES_CALL(nvmlDeviceGetGraphicsRunningProcesses_v2, graphics_processes)
PROCESSES_CALL(nvmlDeviceGetGraphicsRunningProcesses_v3, graphics_processes)

// Events.

struct event_set {
    bool used;
    bool registered;
    unsigned long long seen;
    unsigned long long types[MAX_GPUS];
};

struct event {
    handle device;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
};

static pthread_mutex_t sets_lock = PTHREAD_MUTEX_INITIALIZER;
static struct event_set sets[MAX_EVENT_SETS];

static bool is_set(const struct event_set *set)
{
    for (int i = 0; i < MAX_EVENT_SETS; i++)
        if (set == &sets[i])
            return set->used;
    return false;
}

LONG_CALL(nvmlDeviceGetSupportedEventTypes, supported_event_types)

int nvmlEventSetCreate(struct event_set **out)
{
    struct call call;
    int code = enter_machine(&call, F_nvmlEventSetCreate);
    if (code)
        return code;
    if (!out)
        return leave(&call, INVALID_ARGUMENT);
    code = OUT_OF_MEMORY;
    pthread_mutex_lock(&sets_lock);
    for (int i = 0; i < MAX_EVENT_SETS && code; i++) {
        if (!sets[i].used) {
            memset(&sets[i], 0, sizeof sets[i]);
            sets[i].used = true;
            *out = &sets[i];
            code = SUCCESS;
        }
    }
    pthread_mutex_unlock(&sets_lock);
    return leave(&call, code);
}

int nvmlDeviceRegisterEvents(handle where, unsigned long long types, struct event_set *set)
{
    struct call call;
    unsigned long long supported;
    int code = enter(&call, F_nvmlDeviceRegisterEvents, where);
    if (code)
        return code;
    code = take(&call, N_supported_event_types, &supported);
    if (!code && types & ~supported)
        code = NOT_SUPPORTED;
    if (code)
        return leave(&call, code);
    pthread_mutex_lock(&sets_lock);
    if (is_set(set)) {
        // Only what happens after the first registration is news to this set.
        if (!set->registered)
            set->seen = call.state->newest_xid;
        set->registered = true;
        set->types[call.gpu] |= types;
    } else {
        code = INVALID_ARGUMENT;
    }
    pthread_mutex_unlock(&sets_lock);
    return leave(&call, code);
}

static int next_event(const struct state *state, struct event_set *set, struct event *out)
{
    int code = TIMEOUT;
    pthread_mutex_lock(&sets_lock);
    if (!is_set(set)) {
        pthread_mutex_unlock(&sets_lock);
        return INVALID_ARGUMENT;
    }
    // A machine described afresh counts its events from one again.
    if (state->newest_xid < set->seen)
        set->seen = 0;
    for (size_t i = 0; i < state->xid_count && code; i++) {
        const struct xid *xid = &state->xids[i];
        if (xid->sequence <= set->seen)
            continue;
        set->seen = xid->sequence;
        if (set->types[xid->gpu] & EVENT_XID) {
            *out = (struct event){&cells[xid->gpu][0], EVENT_XID, xid->number, FULL, FULL};
            code = SUCCESS;
        }
    }
    pthread_mutex_unlock(&sets_lock);
    return code;
}

int nvmlEventSetWait_v2(struct event_set *set, struct event *out, unsigned timeout_ms)
{
    struct call call;
    long long deadline = now_ms() + timeout_ms;
    for (int how = MACHINE;; how = MACHINE | AT_ONCE) {
        int code = enter_as(&call, F_nvmlEventSetWait_v2, NULL, how);
        if (code)
            return code;
        code = leave(&call, out ? next_event(call.state, set, out) : INVALID_ARGUMENT);
        long long left = deadline - now_ms();
        if (code != TIMEOUT || left <= 0)
            return code;
        sleep_ms(left < EVENT_SLICE_MS ? left : EVENT_SLICE_MS);
    }
}

int nvmlEventSetFree(struct event_set *set)
{
    struct call call;
    int code = enter_machine(&call, F_nvmlEventSetFree);
    if (code)
        return code;
    pthread_mutex_lock(&sets_lock);
    code = is_set(set) ? SUCCESS : INVALID_ARGUMENT;
    if (!code)
        set->used = false;
    pthread_mutex_unlock(&sets_lock);
    return leave(&call, code);
}
