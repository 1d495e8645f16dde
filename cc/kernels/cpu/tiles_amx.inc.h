// The tile registers of AMX; tiles_model.inc.h says what each function means. Included inside a
// namespace. Assembly, since a register's number is a part of its name: the compiler's intrinsics
// take a literal, not a template's argument, and let stores move past a tile's load.

class Tiles {
 public:
  explicit Tiles(int columns) {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } config;
    for (int tile = 0; tile < 8; ++tile) {
      const bool is_a = tile == 3 || tile == 4, is_b = tile >= 5;
      config.row_bytes[tile] = static_cast<uint16_t>(is_a ? 2 * columns : 64);
      config.rows[tile] = static_cast<uint8_t>(is_b ? columns / 2 : 16);
    }
    static_assert(sizeof(config) == 64);
    asm volatile("ldtilecfg %0" ::"m"(config));
  }
  ~Tiles() { asm volatile("tilerelease"); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

  template <int kTile>
  void Zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
  }
  template <int kTile>
  void Load(const void* rows, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(rows), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  void Store(void* rows, int64_t stride) const {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(rows), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kSums, int kA, int kB>
  void MultiplyAdd() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSums), "i"(kA), "i"(kB));
  }
};
