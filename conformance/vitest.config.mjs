import { defineConfig } from "vitest/config"

// Names are reported as the suite writes them. A run that hangs ends: the longest
// test of the suite waits for a few seconds.
export default defineConfig({
	test: { include: ["*.test.mjs"], testTimeout: 30_000, hookTimeout: 60_000, teardownTimeout: 5_000 },
})
