// Package chart draws charts as SVG, for pages that fit any width and for files. It draws text in a constant size however
// wide a chart is: all places are shares of the width. Text of any origin is safe in it.
package chart
