/** What runs in the lab, a guest with emulated NVMe drives behind an IOMMU, and the test that boots it. */
@org.jspecify.annotations.NullMarked
package io.vhostfs.lab;
