import { defineConfig } from "vite";

/** Where `make dashboard-dev` finds the running stack. */
const edge = process.env.EDGE ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "/",
  build: {
    target: "es2023",
    modulePreload: { polyfill: false },
    // A script that is written into the page would need leave from its security policy.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  server: {
    proxy: { "^/(v1|markets|candles|health|ready|docs|openapi.json|ws|crypto|indicators|place_order|trade|whoami)(/|$)": { target: edge, ws: true } },
  },
});
