package chart

// Style colours what charts consist of, by the reader's preference for light or dark. Tone n is var(--tn); --ink, --dim, --grid and --paper are text, lesser text, lines
// and the ground.
const Style = `
:root{color-scheme:light dark;--paper:#fff;--ink:#1b2430;--dim:#5d6b7a;--grid:#e3e8ee;
--t0:#2f6fde;--t1:#e0731d;--t2:#12897b;--t3:#8b54c9;--t4:#cf3b46;--t5:#8a97a6;--t6:#b98a00}
@media(prefers-color-scheme:dark){:root{--paper:#12171e;--ink:#e6ebf1;--dim:#98a5b3;--grid:#2a333d;
--t0:#6ea3ff;--t1:#ffa057;--t2:#3fc4b2;--t3:#bd93f5;--t4:#ff7a80;--t5:#8492a1;--t6:#e3b93c}}
svg text{font:12px system-ui,"Segoe UI",Roboto,"Helvetica Neue","DejaVu Sans",sans-serif;fill:var(--dim)}
svg .grid{stroke:var(--grid);shape-rendering:crispEdges}
svg .line{fill:none;stroke-width:2;vector-effect:non-scaling-stroke;stroke-linejoin:round}
svg .area{opacity:.14}svg .mark{stroke-width:1.5;stroke-dasharray:5 4}
svg .spread{stroke-width:1.5;opacity:.7}svg .bar{opacity:.85}
.s0{stroke:var(--t0)}.s1{stroke:var(--t1)}.s2{stroke:var(--t2)}.s3{stroke:var(--t3)}.s4{stroke:var(--t4)}.s5{stroke:var(--t5)}.s6{stroke:var(--t6)}
.f0{fill:var(--t0)}.f1{fill:var(--t1)}.f2{fill:var(--t2)}.f3{fill:var(--t3)}.f4{fill:var(--t4)}.f5{fill:var(--t5)}.f6{fill:var(--t6)}
svg text.note{fill:var(--ink);paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}`
