// CUDA C++ for a C++ compiler: enough of it to run the kernels of this crate on the CPU, thread by thread.
//
// A thread runs until it meets a barrier; then the next one starts. So a block without barriers is a plain loop, and a
// forgotten barrier shows, because later threads have not written yet what earlier ones read.

#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <ucontext.h>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(n)

using std::erfc, std::exp, std::expm1, std::fabs, std::fmax, std::log, std::log1p, std::sqrt, std::tanh;

struct Index {
    unsigned x, y, z;
};
static Index threadIdx, blockIdx, gridDim;

namespace shim {

constexpr unsigned COUNT = 256, WARP = 32;
constexpr size_t STACK = 64 * 1024;

struct Barrier {
    unsigned waiting, expected;
    uint64_t turn;
};

// A stack that threads run on, one after the other; a thread that waits keeps it.
struct Fibre {
    jmp_buf at;
    ucontext_t start;
    bool started;
    unsigned thread;
    const Barrier *barrier;
    uint64_t turn;
    alignas(16) char stack[STACK];
};

static Fibre fibres[COUNT];
static Fibre *current;
static jmp_buf scheduler;
static Barrier block, warps[COUNT / WARP];
static uint64_t lanes[2][COUNT];
static unsigned shuffles[COUNT];
static unsigned next, finished;
static void (*body)(void *);
static void *closure;

static bool may_go_on(const Fibre &fibre) { return fibre.barrier && fibre.barrier->turn != fibre.turn; }

// Goes to the next thread that may go on; to the scheduler if there is none, or if some have not started.
static void leave() {
    if (_setjmp(current->at)) return;
    for (unsigned i = 1; next == COUNT && i < COUNT; i++) {
        Fibre &other = fibres[(current - fibres + i) % COUNT];
        if (!may_go_on(other)) continue;
        current = &other;
        current->barrier = nullptr;
        _longjmp(current->at, 1);
    }
    _longjmp(scheduler, 1);
}

static void release(Barrier &barrier) {
    barrier.waiting = 0;
    barrier.turn++;
}

static __attribute__((noinline)) void wait(Barrier &barrier) {
    if (++barrier.waiting == barrier.expected) return release(barrier);
    current->barrier = &barrier;
    current->turn = barrier.turn;
    leave();
    threadIdx.x = current->thread;
}

static void run_threads() {
    for (;;) {
        while (next < COUNT) {
            current->thread = threadIdx.x = next++;
            body(closure);
            finished++;
            // Threads that are done count as arrived.
            block.expected--;
            if (block.waiting && block.waiting == block.expected) release(block);
        }
        leave();
    }
}

static void resume(Fibre &fibre) {
    current = &fibre;
    fibre.barrier = nullptr;
    if (_setjmp(scheduler)) return;
    if (fibre.started) _longjmp(fibre.at, 1);
    fibre.started = true;
    getcontext(&fibre.start);
    fibre.start.uc_stack.ss_sp = fibre.stack;
    fibre.start.uc_stack.ss_size = STACK;
    makecontext(&fibre.start, run_threads, 0);
    setcontext(&fibre.start);
}

// Runs a block; false if threads wait for each other in vain.
static bool run_block() {
    next = finished = 0;
    block = {0, COUNT, 0};
    for (Barrier &warp : warps) warp = {0, WARP, 0};
    unsigned used = 0;
    while (next < COUNT) resume(fibres[used++]);
    while (finished < COUNT) {
        bool moved = false;
        for (unsigned i = 0; i < used; i++) {
            if (!may_go_on(fibres[i])) continue;
            resume(fibres[i]);
            moved = true;
        }
        if (!moved) {
            for (Fibre &fibre : fibres) fibre.started = false;
            return false;
        }
    }
    return true;
}

template <typename... A> struct Call {
    void (*kernel)(A...);
    std::tuple<A...> arguments;
    static void run(void *self) { std::apply(static_cast<Call *>(self)->kernel, static_cast<Call *>(self)->arguments); }
};

template <typename T> T argument(const uint64_t *&from) {
    static_assert(sizeof(T) == sizeof(uint64_t), "every parameter is eight bytes wide");
    T value;
    memcpy(&value, from++, sizeof value);
    return value;
}

template <typename... A> int launch(void (*kernel)(A...), const unsigned *grid, const uint64_t *from) {
    Call<A...> call{kernel, std::tuple<A...>{argument<A>(from)...}};
    body = Call<A...>::run;
    closure = &call;
    gridDim = {grid[0], grid[1], 1};
    for (unsigned y = 0; y < grid[1]; y++)
        for (unsigned x = 0; x < grid[0]; x++) {
            blockIdx = {x, y, 0};
            if (!run_block()) return 1;
        }
    return 0;
}

template <typename T> constexpr char kind = 'p';
template <> constexpr char kind<double> = 'd';
template <> constexpr char kind<long long> = 'i';
template <> constexpr char kind<unsigned long long> = 'u';

template <typename... A> const char *parameters(void (*)(A...)) {
    static const char kinds[] = {kind<A>..., 0};
    return kinds;
}

} // namespace shim

static void __syncthreads() { shim::wait(shim::block); }

// Two places for what is exchanged: whoever writes the next value has seen all of its warp read the last but one.
template <typename T> T __shfl_xor_sync(unsigned, T value, int distance) {
    static_assert(sizeof(T) <= sizeof(uint64_t));
    const unsigned self = threadIdx.x;
    uint64_t *lanes = shim::lanes[shim::shuffles[self]++ % 2];
    memcpy(&lanes[self], &value, sizeof value);
    shim::wait(shim::warps[self / shim::WARP]);
    memcpy(&value, &lanes[self ^ distance], sizeof value);
    return value;
}

#define EXPORT(name)                                                                                                   \
    extern "C" int shim_##name(const unsigned *grid, const uint64_t *arguments) {                                      \
        return shim::launch(name, grid, arguments);                                                                    \
    }                                                                                                                  \
    extern "C" const char *shim_parameters_##name() { return shim::parameters(name); }
